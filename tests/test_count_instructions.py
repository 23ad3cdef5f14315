"""`scripts/count_instructions.py`: which loop it finds in a disassembly, and what it counts."""

from __future__ import annotations

import pytest

import count_instructions as count

NAME = (
    "void qk::avx512vnni::(anonymous namespace)::product_vector<"
    "qk::avx512vnni::(anonymous namespace)::{}<"
    "qk::{}, qk::avx512vnni::(anonymous namespace)::Isa,"
    " (qk::Act)0> >(qk::LinearArgs const&, long, long)"
)

# A loop over rows (10 to 40) around one over blocks (14 to 2c), whose products are half of them
# behind a branch; a loop without products (30 to 34) has more instructions than its place tells.
LOOPS = """
0000000000000008 <{name}>:
       8:\tpush   %rbp
      10:\txor    %eax,%eax
      14:\tvpdpbusd (%rdi),%zmm1,%zmm2
      18:\ttest   %ecx,%ecx
      1c:\tje     24 <{name}+0x1c>
      20:\tvpdpbusd 0x40(%rdi),%zmm1,%zmm2
      24:\tnopw   0x0(%rax,%rax,1)
      28:\tadd    $0x40,%rdi
      2c:\tjne    14 <{name}+0xc>
      30:\tadd    $0x1,%eax
      34:\tjne    30 <{name}+0x28>
      38:\tvpdpbusd (%rdi),%zmm1,%zmm2
      3c:\tvpdpbusd (%rdi),%zmm1,%zmm2
      40:\tjne    10 <{name}+0x8>
      44:\tret
"""

# Two ways in: a cycle that neither of its blocks dominates is no natural loop.
IRREDUCIBLE = """
0000000000000000 <f>:
       0:\tjne    8 <f+0x8>
       4:\tvpdpbusd (%rdi),%zmm1,%zmm2
       8:\tadd    $0x1,%eax
       c:\tjne    4 <f+0x4>
      10:\tret
"""


def body(text: str) -> list[count.Instruction]:
    ((_, found),) = count.functions(text.splitlines())
    return found


def names(text: str) -> list[list[str]]:
    some = body(text)
    found = [[some[p].name for p in sorted(loop)] for loop in count.loops(some)]
    return sorted(found, key=len)


def test_loops_are_natural_ones() -> None:
    inner = ["vpdpbusd", "test", "je", "vpdpbusd", "nopw", "add", "jne"]
    counted = ["add", "jne"]
    outer = ["xor", *inner, *counted, "vpdpbusd", "vpdpbusd", "jne"]
    assert names(LOOPS.format(name="f")) == [counted, inner, outer]
    assert names(IRREDUCIBLE) == []


def test_the_innermost_loop_that_multiplies_is_counted_without_padding() -> None:
    # Two vpdpbusd of 64 bytes: 128 weights of 8-bit activations, 64 of two planes.
    some = body(LOOPS.format(name="f"))
    assert count.inner_loop(some, "int8") == (6, 128)
    assert count.inner_loop(some, "int16") == (6, 64)
    assert count.inner_loop(body(IRREDUCIBLE), "int16") == (0, 0)


@pytest.mark.parametrize(
    ("line", "weights"),
    [
        ("vpdpbusd %ymm1,%ymm2,%ymm3", 16),
        ("{vex} vpdpbusd 0x20(%rdi),%ymm2,%ymm3", 16),
        ("vpdpbusd (%rax){1to16},%zmm0,%zmm10", 32),
        ("vpmaddwd (%rdi),%ymm2,%ymm3", 16),
    ],
)
def test_weights_follow_from_the_products(line: str, weights: float) -> None:
    some = body(f"0 <f>:\n   0:\t{line}\n")
    assert count.weights_of(some, "int16") == weights


def test_a_table_says_what_its_loops_lack() -> None:
    text = LOOPS.format(name=NAME.format("RowProduct", "Q4_0"))
    text += LOOPS.format(name=NAME.format("PanelProduct", "F32")).replace("vpdpbusd", "vpaddd")
    assert list(count.table(text, "int16", {"f32": 1, "q4_0": 32})) == [
        ["int16", "avx512vnni native", "avx512vnni packed"],
        ["f32", "-", "-"],
        ["q4_0", "24+", "-"],
    ]


def test_an_object_without_kernels_is_refused() -> None:
    with pytest.raises(ValueError, match="one ISA's kernels"):
        list(count.table(IRREDUCIBLE, "int16", {"q4_0": 32}))
