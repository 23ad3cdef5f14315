"""`qkernels quantize` says no by tensor and row, and to rules and matrices that change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from gguf_contents import matrix_of
from qkernels.tools import quantize as quantize_file
from test_quantize_file import TENSORS, K, N, invoke, out, path, weights
from test_quantize_imatrix import legacy

__all__ = ["out", "path"]  # fixtures

NDArray = np.ndarray[Any, Any]


def large(k: int, value: float = 1e5) -> NDArray:
    array = np.ones((9, k), np.float32)
    array[7, 3] = value
    return array


@pytest.mark.parametrize(
    ("array", "arguments", "message"),
    [
        (large(48), ["--type", "q4_k"], "too large for f16, and k=48 is no multiple of the block"),
        (
            large(48),
            ["--type", "f16"],
            "it holds 100000 in row 7, column 3, which is too large for",
        ),
        (
            large(48),
            ["--type", "q8_0", "--keep", "big.*=f16"],
            "which is too large for f16; --keep",
        ),
        (large(48, 3.4e38), ["--type", "bf16"], "holds 3.4e+38 in row 7, column 3, which is too"),
        (large(256, 1e9), ["--type", "q4_k"], "it holds 1e+09 in row 7, column 3, which is too"),
        (
            np.stack([large(32), large(32, 1e9)]),
            ["--type", "q8_0"],
            ", expert 1: it holds 1e+09 in",
        ),
    ],
)
def test_a_weight_that_its_format_cannot_hold_is_named(
    tmp_path: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    array: NDArray,
    arguments: list[str],
    message: str,
) -> None:
    """By its row in the tensor, though pieces of a few rows are quantised at once."""
    monkeypatch.setattr(quantize_file, "PIECE", 2 * array.shape[-1])
    qk.save_gguf(tmp_path / "a.gguf", {"ok.weight": weights(2, 256), "big.weight": array})
    result = invoke(tmp_path / "a.gguf", out, *arguments)
    assert result.exit_code == 1
    assert "tensor 'big.weight'" in result.stderr
    assert message in result.stderr
    assert list(out.parent.iterdir()) == []
    assert result.stderr.endswith("--keep 'big.weight=f32' keeps all of it\n")
    assert (
        invoke(tmp_path / "a.gguf", out, *arguments[:2], "--keep", "big.weight=f32").exit_code == 0
    )
    with qk.load_gguf(out) as file:
        np.testing.assert_array_equal(matrix_of(file, "big.weight").dequantize(), array)


def test_rows_that_become_zeros_are_counted(tmp_path: Path, out: Path) -> None:
    small = weights(4, 256)
    small[1:] *= 1e-12
    qk.save_gguf(tmp_path / "a.gguf", {"w.weight": small})
    result = invoke(tmp_path / "a.gguf", out, "--type", "q8_0")
    assert "w.weight: 3 of 4 rows became zeros" in result.stdout
    assert "are too small for the scales of q8_0" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["attn_v=q6_k"], "no tensor is named so; '*attn_v*' would name 'blk.0.attn_v.weight'"),
        (["ATTN_V=q6_k"], "no tensor is named so; '*attn_v*' would name 'blk.0.attn_v.weight'"),
        (["token_embd=q6_k"], "'*token_embd*' would name 'token_embd.weight'"),
        (["blk.*.attn_V*=q6_k"], "no tensor is named so; near is 'blk.0.attn_"),
        ([r"^blk\..*=q6_k"], "no tensor is named so; near is 'blk.0."),
        (["*.bias=f16"], "no tensor is named so; near is"),
        (["blk.0.attn_norm.weight=f16"], "'blk.0.attn_norm.weight' is no matrix, and stays"),
        (["*_norm.weight=f16"], "'blk.0.attn_norm.weight' is no matrix, and stays"),
        (["*attn*=q8_0", "*attn_v*=f16"], "rules before it decide on all that it names"),
        (["*=q8_0", "output.*=f16"], "--keep output.*=f16 changes nothing: rules before it"),
        (["output.weight=f16", "nothing=f16"], "--keep nothing=f16 changes nothing"),
    ],
)
def test_a_rule_that_decides_on_nothing_is_refused(
    path: Path, out: Path, rules: list[str], message: str
) -> None:
    result = invoke(path, out, "--type", "q4_k", *(f"--keep={rule}" for rule in rules))
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr
    assert list(out.parent.iterdir()) == []


def test_a_rule_that_names_a_vector_among_matrices_is_one(path: Path, out: Path) -> None:
    assert invoke(path, out, "--type", "q4_k", "--keep", "blk.0.attn*=q8_0").exit_code == 0
    with qk.load_gguf(out) as file:
        assert matrix_of(file, "blk.0.attn_q.weight").fmt == "q8_0"


@pytest.mark.parametrize("fmt", ["q8_0", "f16", "mxfp4"])
def test_a_matrix_of_importance_that_changes_nothing_is_refused(
    path: Path, out: Path, fmt: str
) -> None:
    matrix = out.parent.parent / "m.dat"
    matrix.write_bytes(legacy({"blk.0.attn_q.weight": (1, np.ones(K))}))
    result = invoke(path, out, "--type", fmt, "--imatrix", matrix)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"m.dat: no importance matrix changes anything of {fmt}\n" in result.stderr


def test_entries_of_importance_that_nothing_uses_are_counted(path: Path, out: Path) -> None:
    matrix = out.parent.parent / "m.dat"
    names = ["blk.0.attn_q.weight", "output.weight", "blk.7.attn_q.weight", "blk.8.attn_q.weight"]
    matrix.write_bytes(legacy({name: (1, np.ones(K)) for name in names}))
    result = invoke(path, out, "--type", "q4_k", "--imatrix", matrix, "--keep", "output.*=q8_0")
    assert result.exit_code == 0, result.stderr
    told = " ".join(result.stdout.split())
    assert "3 of the matrix's 4 entries are of no tensor that is quantised by importance" in told
    with qk.load_gguf(out) as file:
        expected = qk.quantize(TENSORS["output.weight"], "q8_0").data
        np.testing.assert_array_equal(matrix_of(file, "output.weight").data, expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pad": "no"}, TypeError, "pad must be a bool, not str"),
        ({"pad": 1}, TypeError, "pad must be a bool, not int"),
        ({"imatrix": [None] * 32}, TypeError, "imatrix"),
        ({"imatrix": "m.dat"}, TypeError, "str"),
        ({"imatrix": np.ones(32, "c8")}, TypeError, "imatrix"),
        ({"a": np.broadcast_to(np.float32(1), (2**40, 2**16))}, MemoryError, "allocate"),
        ({"a": np.broadcast_to(np.float32(1), (2**20, 2**20, 2**16))}, MemoryError, "allocate"),
    ],
)
def test_wrong_arguments_of_quantize_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    given = {"a": np.ones((N, 32), np.float32), "fmt": "q4_0", **arguments}
    with pytest.raises(error, match=message):
        qk.quantize(given.pop("a"), given.pop("fmt"), **given)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fmt": "q9_k"}, ValueError, "'q9_k' is none of bf16, f16"),
        ({"fmt": None}, TypeError, "a format must be a str, not NoneType"),
        ({"keep": "output=q8_0"}, TypeError, r"keep must be \(pattern, format\) pairs, not str"),
        ({"keep": {"output.*": "q8_0"}}, TypeError, "pairs, not dict"),
        ({"keep": [("output.*", None)]}, TypeError, r"pairs of str, not \('output.\*', None\)"),
        ({"keep": ["ab"]}, TypeError, "pairs of str, not 'ab'"),
        ({"keep": [("output.*", "q8_ks")]}, ValueError, "'q8_ks' is none of"),
        ({"keep": [("nothing", "q8_0")]}, ValueError, "nothing=q8_0 changes nothing"),
        ({"pad": "yes"}, TypeError, "pad must be a bool, not str"),
    ],
)
def test_wrong_arguments_of_quantize_file_are_named(
    path: Path, out: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with qk.load_gguf(path) as file, pytest.raises(error, match=message):
        quantize_file.quantize_file(file, out, **{"fmt": "q4_k", **arguments})
    assert list(out.parent.iterdir()) == []


def test_a_type_that_no_tensor_takes_is_told(path: Path, out: Path) -> None:
    result = invoke(path, out, "--type", "q4_k", "--keep", "*=q8_0")
    assert (result.exit_code, "no tensor took q4_k" in result.stdout) == (0, True)
    assert "no tensor took" not in invoke(path, out, "--type", "q4_k").stdout


def test_can_quantize_tells_of_importance_too() -> None:
    assert qk.can_quantize("q4_0", imatrix=True)
    assert not qk.can_quantize("q8_0", imatrix=True)
    assert not qk.can_quantize("iq1_s", imatrix=True)
    with pytest.raises(TypeError, match="imatrix must be a bool, not ndarray"):
        qk.can_quantize("q4_0", imatrix=np.ones(3))  # type: ignore[arg-type]
