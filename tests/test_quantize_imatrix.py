"""Importance matrices in both forms that llama.cpp writes, right and wrong."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

import qkernels as qk
from qkernels.files.imatrix import load_imatrix
from qkernels.tools.quantize import quantize_file

if TYPE_CHECKING:
    from pathlib import Path

NDArray = np.ndarray[Any, Any]


def text(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode()


def legacy(entries: dict[str, tuple[int, NDArray]], tail: bytes = b"") -> bytes:
    """The bytes of a .dat file: calls and sums by name."""
    raw = struct.pack("<i", len(entries))
    for name, (calls, sums) in entries.items():
        raw += text(name) + struct.pack("<ii", calls, sums.size) + sums.astype("<f4").tobytes()
    return raw + tail


def write_gguf(path: Path, entries: dict[str, tuple[NDArray, NDArray]]) -> Path:
    """A file of the GGUF form: sums (experts, k) and counts (experts,) by name."""
    writer = gguf.GGUFWriter(path, "")
    writer.add_array("imatrix.datasets", ["a.txt", "b.txt"])
    writer.add_uint32("imatrix.chunk_count", 17)
    for name, (sums, counts) in entries.items():
        writer.add_tensor(f"{name}.in_sum2", sums.astype(np.float32))
        writer.add_tensor(f"{name}.counts", counts.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("with_tail", [True, False])
def test_the_legacy_form_has_means_of_sums_over_calls(tmp_path: Path, with_tail: bool) -> None:
    sums = np.arange(1, 9)
    tail = struct.pack("<i", 17) + text("a.txt") if with_tail else b""
    path = tmp_path / "m.dat"
    path.write_bytes(legacy({"w": (4, sums), "uncounted": (0, sums)}, tail))
    found = load_imatrix(path)
    np.testing.assert_array_equal(found.entries["w"], sums / 4)
    np.testing.assert_array_equal(found.entries["uncounted"], sums)
    assert (found.chunks, found.datasets) == ((17, ["a.txt"]) if with_tail else (0, []))


def test_the_gguf_form_has_means_by_expert_and_ones_where_none_was_counted(tmp_path: Path) -> None:
    sums = np.arange(1, 13).reshape(3, 4)
    counts = np.array([[2], [0], [4]])
    one = (np.array([3.0, 6.0]), np.array([3.0]))
    found = load_imatrix(write_gguf(tmp_path / "m.gguf", {"e": (sums, counts), "w": one}))
    factors = found.factors("e", (3, 8, 4))
    np.testing.assert_array_equal(factors, [sums[0] / 2, np.ones(4), sums[2] / 4])
    np.testing.assert_array_equal(found.factors("w", (5, 2)), [1, 2])
    assert (found.chunks, found.datasets) == (17, ["a.txt", "b.txt"])


def test_factors_are_of_columns_or_of_each_experts_columns(tmp_path: Path) -> None:
    path = tmp_path / "m.dat"
    path.write_bytes(legacy({"w": (1, np.arange(12))}))
    found = load_imatrix(path)
    assert found.factors("other", (3, 12)) is None
    for shape, expected in [((5, 12), (12,)), ((2, 5, 12), (12,)), ((3, 5, 4), (3, 4))]:
        factors = found.factors("w", shape)
        assert factors is not None
        assert factors.shape == expected
    with pytest.raises(ValueError, match=r"entry 'w' has 12 values; the tensor is 5 x 13"):
        found.factors("w", (5, 13))


GOOD = legacy({"w": (1, np.ones(8))})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", r"no importance matrix: the number of entries of 4 bytes at byte 0 of 0"),
        (b"nonsense", r"is no importance matrix"),
        (GOOD[:-1], r"values of 'w' of 32 bytes at byte 17 of 48"),
        (GOOD + b"\0", r"the number of chunks of 4 bytes"),
        (struct.pack("<i", 0), r"holds no importance matrix"),
        (struct.pack("<i", -5), r"holds no importance matrix"),
        (struct.pack("<ii", 2**31 - 1, 2**31 - 1), r"the name of entry 0 of 2147483647 bytes"),
        (struct.pack("<ii", 1, -1), r"the name of entry 0 of -1 bytes"),
        (struct.pack("<i", 1) + text("w") + struct.pack("<ii", 1, -1), r"values of 'w' of -4"),
        (
            struct.pack("<i", 1) + text("w") + struct.pack("<ii", 1, 2**31 - 1),
            r"values of 'w' of 8",
        ),
    ],
)
def test_a_file_at_fault_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "m.dat"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        load_imatrix(path)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("form", ["legacy", "gguf"])
def test_an_entry_at_fault_is_refused_where_its_tensor_asks_for_it(
    tmp_path: Path, form: str, value: float
) -> None:
    bad, good = np.array([1.0, value]), np.ones(2)
    if form == "legacy":
        path = tmp_path / "m.dat"
        path.write_bytes(legacy({"bad": (1, bad), "good": (1, good)}))
    else:
        counts = np.ones(1)
        path = write_gguf(tmp_path / "m.gguf", {"bad": (bad, counts), "good": (good, counts)})
    found = load_imatrix(path)
    np.testing.assert_array_equal(found.factors("good", (4, 2)), [1, 1])
    with pytest.raises(ValueError, match=r"m\..*: entry 'bad' holds a value that is negative or"):
        found.factors("bad", (4, 2))


def test_sums_and_counts_that_do_not_belong_together_are_refused_when_used(
    tmp_path: Path,
) -> None:
    one = (np.ones(8), np.ones(1))
    path = write_gguf(tmp_path / "m.gguf", {"w": (np.ones(8), np.ones(3)), "good": one})
    found = load_imatrix(path)
    assert found.factors("good", (4, 8)) is not None
    with pytest.raises(ValueError, match=r"m\.gguf: 'w' has 8 sums and 3 counts"):
        found.factors("w", (4, 8))


@pytest.mark.parametrize("keep", [True, False])
def test_a_matrix_that_is_kept_in_floats_asks_for_no_importance(tmp_path: Path, keep: bool) -> None:
    matrix = np.ones((4, 32), np.float32)
    qk.save_gguf(tmp_path / "a.gguf", {"blk.0.w.weight": matrix, "blk.1.w.weight": matrix})
    (tmp_path / "m.dat").write_bytes(
        legacy({"blk.0.w.weight": (1, np.full(32, np.nan)), "blk.1.w.weight": (1, np.ones(32))})
    )
    kept = (("blk.0.*", "f16"),) if keep else ()
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        arguments: dict[str, Any] = {"imatrix": load_imatrix(tmp_path / "m.dat"), "keep": kept}
        if keep:
            quantize_file(file, tmp_path / "b.gguf", "q4_0", **arguments)
        else:
            with pytest.raises(ValueError, match=r"entry 'blk.0.w.weight' holds a value"):
                quantize_file(file, tmp_path / "b.gguf", "q4_0", **arguments)


def test_sums_without_counts_are_refused_when_used(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "")
    writer.add_tensor("w.in_sum2", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"is 'w.in_sum2' and no 'w.counts'"):
        load_imatrix(tmp_path / "m.gguf").factors("w", (4, 8))


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_imatrix(tmp_path / "none.dat")
