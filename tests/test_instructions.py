"""`tests/check_instructions.py`: which kernels pass their ceilings of instructions."""

from __future__ import annotations

import pytest

import check_instructions as check

LOOP = """
0000000000000000 <void qk::avx2::(anonymous namespace)::product_vector<\
qk::avx2::(anonymous namespace)::{product}<qk::Q4_0, qk::avx2::(anonymous namespace)::Isa, \
(qk::Act)0> >(qk::LinearArgs const&, long, long)>:
       0:\tpush   %rbp
{body}
     800:\tjne    10 <f+0x10>
     804:\tret
"""


def kernels(native: int, packed: int) -> str:
    """A disassembly of loops with so many instructions, of which 8 multiply 128 weights."""
    text = ""
    for product, size in (("RowProduct", native), ("PanelProduct", packed)):
        names = ["vpmaddwd (%rdi),%ymm2,%ymm3"] * 8 + ["vpaddd %ymm1,%ymm2,%ymm2"] * (size - 9)
        lines = [f"     {16 + 4 * i:x}:\t{name}" for i, name in enumerate(names)]
        text += LOOP.format(product=product, body="\n".join(lines))
    return text


def counts(native: int, packed: int) -> check.Counts:
    return {"avx2": {"int16": check.counts_of(kernels(native, packed), "int16")}}


CEILINGS = check.ceilings_of(counts(100, 50))


def test_loops_are_counted_for_256_weights() -> None:
    assert counts(100, 50)["avx2"]["int16"]["q4_0"] == [200, 100]


@pytest.mark.parametrize(("native", "packed"), [(100, 50), (60, 30), (108, 54)])
def test_what_compilers_differ_by_passes(native: int, packed: int) -> None:
    assert list(check.faults("avx2", counts(native, packed), CEILINGS)) == []


def test_a_loop_of_30_percent_more_is_a_fault() -> None:
    assert list(check.faults("avx2", counts(130, 50), CEILINGS)) == [
        "avx2 int16 q4_0 native: 260 instructions, 229 at most"
    ]
    assert list(check.faults("avx2", counts(100, 65), CEILINGS)) == [
        "avx2 int16 q4_0 packed: 130 instructions, 114 at most"
    ]


def test_a_format_without_a_ceiling_and_a_loop_that_is_gone_are_faults() -> None:
    found = counts(100, 50)
    without = {
        "avx2": {"int16": {k: v for k, v in CEILINGS["avx2"]["int16"].items() if k != "q4_0"}}
    }
    (missing,) = check.faults("avx2", found, without)
    assert missing == "avx2 int16 q4_0: no ceiling; --write makes one of [200, 100]"
    found["avx2"]["int16"]["q4_0"] = [None, 100]
    (gone,) = check.faults("avx2", found, CEILINGS)
    assert gone == "avx2 int16 q4_0 native: a loop of None, and 229 at most"
