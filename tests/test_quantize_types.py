"""Which format a tensor of a file takes, by its name and shape."""

from __future__ import annotations

import gguf
import pytest

from qkernels.quantize_types import FALLBACKS, FILE_TYPES, Choice, Rule, choose, parse_keep
from weights import IN_GGUF


def test_file_types_are_those_of_the_gguf_package() -> None:
    uniform = {fmt.upper(): FILE_TYPES[fmt] for fmt in FILE_TYPES if fmt in IN_GGUF}
    for fmt, number in uniform.items():
        names = {f"MOSTLY_{fmt}", f"MOSTLY_{fmt}_S", f"MOSTLY_{fmt}_MOE", f"ALL_{fmt}"}
        assert gguf.LlamaFileType(number).name in names


@pytest.mark.parametrize("fmt", FALLBACKS)
@pytest.mark.parametrize(("k", "fits"), [(256, True), (288, False), (40, False)])
def test_rows_that_do_not_fit_fall_back(fmt: str, k: int, fits: bool) -> None:
    found = choose("blk.0.attn_q.weight", (4, k), Rule(fmt))
    second = FALLBACKS[fmt] if k % 32 == 0 else "f16"
    assert found == (Choice(fmt) if fits else Choice(second, instead_of=fmt))


@pytest.mark.parametrize(
    ("name", "rule", "fmt"),
    [
        ("output.weight", Rule("q4_k"), "q6_k"),
        ("output.weight", Rule("q8_0"), "q8_0"),
        ("output.weight", Rule("f16"), "f16"),
        ("output.weight", Rule("mxfp4"), "q8_0"),
        ("token_embd.weight", Rule("q4_k"), "q4_k"),
        ("token_embd.weight", Rule("q4_k", tied=True), "q6_k"),
        ("token_embd.weight", Rule("tq2_0"), "q4_k"),
        ("token_embd.weight", Rule("tq2_0", tied=True), "q6_k"),
        ("blk.0.attn_q.weight", Rule("tq2_0"), "tq2_0"),
        ("blk.0.attn_q.weight", Rule("q4_k", keep=(("*attn_q*", "q8_0"),)), "q8_0"),
        ("blk.0.attn_output.weight", Rule("q4_k", keep=(("output.*", "q8_0"),)), "q4_k"),
        ("output.weight", Rule("q4_k", keep=(("output.*", "q8_0"), ("*", "f16"))), "q8_0"),
        ("blk.0.ffn_norm.weight", Rule("q4_k", keep=(("*ffn*", "q8_0"),)), "q8_0"),
        ("blk.0.ffn_norm.weight", Rule("q4_k"), None),
        ("blk.0.attn_q.bias", Rule("q4_k"), None),
    ],
)
def test_matrices_of_the_vocabulary_and_kept_ones_take_their_own(
    name: str, rule: Rule, fmt: str | None
) -> None:
    assert choose(name, (4, 256), rule) == (None if fmt is None else Choice(fmt))


@pytest.mark.parametrize("text", ["output", "=q8_0", "output=", "output=q9", "output=q8_ks"])
def test_a_keep_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not PATTERN=FORMAT|is none of bf16, f16"):
        parse_keep(text)
