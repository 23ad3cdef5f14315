"""`qkernels.save_gguf`: what is written is read back, by others too; or nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
import torch

import qkernels as qk
from gguf_contents import array_of, matrix_of
from weights import IN_GGUF, gguf_type, random_weights, tensor

if TYPE_CHECKING:
    from pathlib import Path

NDArray = np.ndarray[Any, Any]

IN_FILES = [fmt for fmt in qk.formats() if fmt != "q8_ks"]
# The gguf package has another size for q8_1 than ggml.
READ_BY_GGUF = sorted({*IN_GGUF} - {"q8_1"})


@pytest.mark.parametrize("fmt", IN_FILES)
def test_blocks_of_every_format_come_back(tmp_path: Path, fmt: str) -> None:
    weights = tensor(fmt, 3, 512)
    qk.save_gguf(tmp_path / "a.gguf", {"w": weights, "again": weights})
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        assert list(file) == ["w", "again"]
        for name in file:
            found = matrix_of(file, name)
            assert (found.fmt, found.shape) == (fmt, (3, 512))
            np.testing.assert_array_equal(found.data, weights.data)


@pytest.mark.parametrize("fmt", READ_BY_GGUF)
def test_the_gguf_package_reads_the_same_blocks(tmp_path: Path, fmt: str) -> None:
    weights = tensor(fmt, 3, 512)
    qk.save_gguf(tmp_path / "a.gguf", {"w": weights})
    (found,) = gguf.GGUFReader(tmp_path / "a.gguf").tensors
    assert (found.name, found.tensor_type, list(found.shape)) == ("w", gguf_type(fmt), [512, 3])
    np.testing.assert_array_equal(np.ascontiguousarray(found.data).view(np.uint8), weights.data)


def test_packed_weights_stacks_and_torch_tensors_are_written_as_blocks(tmp_path: Path) -> None:
    weights = tensor("q4_k", 5, 512)
    stack = qk.QTensor(random_weights("q8_0", 6, 64).reshape(2, 3, -1), "q8_0", (2, 3, 64))
    on_torch = qk.QTensor(torch.from_numpy(np.array(weights.data)), "q4_k", (5, 512))
    tensors: dict[str, Any] = {"packed": weights.pack(), "stack": stack, "torch": on_torch}
    qk.save_gguf(tmp_path / "a.gguf", tensors)
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        np.testing.assert_array_equal(matrix_of(file, "packed").data, weights.data)
        np.testing.assert_array_equal(matrix_of(file, "torch").data, weights.data)
        assert matrix_of(file, "stack").shape == (2, 3, 64)
        np.testing.assert_array_equal(matrix_of(file, "stack").data, stack.data)


@pytest.mark.parametrize("dtype", ["f4", "f2", "f8", "i1", "i2", "i4", "i8", ">f4", ">i2"])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5)])
def test_arrays_keep_their_shape_and_dtype(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    qk.save_gguf(tmp_path / "a.gguf", {"a": array, "reversed": array[::-1]})
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        found = array_of(file, "a")
        assert found.dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found, array)
        np.testing.assert_array_equal(array_of(file, "reversed"), array[::-1])


METADATA: dict[str, object] = {
    **{"a.text": "grüße", "a.empty": "", "a.yes": True, "a.whole": 7, "a.negative": -7},
    **{"a.large": 2**40, "a.unsigned": 2**64 - 1, "a.real": 0.5, "a.words": ["x", "", "z"]},
    **{"a.numbers": [1, -2], "a.reals": [1.0, 2], "a.flags": [True, False]},
}


def test_metadata_comes_back_and_the_gguf_package_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    qk.save_gguf(path, {"w": np.zeros(1, np.float32)}, METADATA)
    with qk.load_gguf(path) as file:
        assert dict(file.metadata) == METADATA
    fields = gguf.GGUFReader(path).fields
    assert {key: fields[key].contents() for key in METADATA} == METADATA


def test_a_whole_file_is_written_again_with_its_types(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint8("a.byte", 3)
    writer.add_float64("a.double", 1 / 3)
    writer.add_array("a.shorts", [1, 2])
    writer.add_tensor("w", random_weights("q4_0", 4, 64), raw_dtype=gguf_type("q4_0"))
    writer.add_tensor("v", np.arange(7, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        qk.save_gguf(tmp_path / "b.gguf", file, file.metadata)
    assert (tmp_path / "b.gguf").read_bytes() == (tmp_path / "a.gguf").read_bytes()


@pytest.mark.parametrize("alignment", [8, 32, 256])
def test_every_tensor_lies_at_a_multiple_of_the_alignment(tmp_path: Path, alignment: int) -> None:
    tensors = {f"t{i}": np.arange(i + 1, dtype=np.int8) for i in range(5)}
    qk.save_gguf(tmp_path / "a.gguf", tensors, {"general.alignment": alignment})
    for found in gguf.GGUFReader(tmp_path / "a.gguf").tensors:
        assert found.data_offset % alignment == 0
        np.testing.assert_array_equal(found.data, tensors[found.name])


@pytest.mark.parametrize("experts", [(), (2,)])
@pytest.mark.parametrize("fmt", ["q4_0", "q6_k", "iq4_xs"])
def test_a_padded_tensor_keeps_its_k_and_multiplies_by_it_alone(
    tmp_path: Path, fmt: str, experts: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((*experts, 4, 300), np.float32)
    weights = qk.quantize(dense, fmt, pad=True)
    path = tmp_path / "a.gguf"
    with pytest.raises(
        ValueError, match=r"'w' has k=300, which its blocks do not divide; pad=True"
    ):
        qk.save_gguf(path, {"w": weights})
    assert not path.exists()
    qk.save_gguf(path, {"w": weights}, pad=True)
    x = rng.standard_normal(300, np.float32)
    with qk.load_gguf(path) as file:
        found = matrix_of(file, "w")
        assert found.shape == (*experts, 4, 300)
        assert file.metadata["qkernels.k.w"] == 300
        one, same = (found[0], weights[0]) if experts else (found, weights)
        np.testing.assert_array_equal(qk.gemv(one, x), qk.gemv(same, x))
        np.testing.assert_array_equal(found.dequantize(), weights.dequantize())
    (stored,) = gguf.GGUFReader(path).tensors
    assert stored.shape[0] == (512 if fmt != "q4_0" else 320)  # what others see


def test_what_padding_holds_meets_no_activation(tmp_path: Path) -> None:
    """The columns past k hold anything at all in a file of somebody else's."""
    raw = random_weights("q8_0", 4, 320)
    qk.save_gguf(tmp_path / "a.gguf", {"w": qk.QTensor(raw, "q8_0", (4, 300))}, pad=True)
    clean = qk.QTensor(raw, "q8_0", (4, 300)).dequantize()
    x = np.ones(300, np.float32)
    with qk.load_gguf(tmp_path / "a.gguf") as file:
        y = qk.gemv(matrix_of(file, "w"), x, act="float32")
    np.testing.assert_allclose(y, np.asarray(clean, np.float64).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"w": tensor("q8_ks", 1, 256)}, {}, ValueError, "'w' is in q8_ks, which GGUF files do"),
        ({"w": np.zeros(3, bool)}, {}, TypeError, "tensor 'w' is bool; expected weights, floats"),
        ({"w": [1.0]}, {}, TypeError, "tensor 'w'"),
        (
            {"w": np.zeros((1,) * 5, "f4")},
            {},
            ValueError,
            "'w' has 5 dimensions; files have",
        ),
        ({}, {"a": None}, TypeError, "metadata 'a' holds NoneType"),
        ({}, {"a": [1, "b"]}, TypeError, "metadata 'a' holds int, str"),
        ({}, {"a": []}, TypeError, "metadata 'a' holds nothing"),
        ({}, {"a": 2**64}, ValueError, "metadata 'a' holds an integer past 64 bits"),
        ({}, {"a": {"b": 1}}, TypeError, "metadata 'a' holds dict"),
        ({}, {"general.alignment": 24}, ValueError, "general.alignment is 24"),
        ({}, {"general.alignment": "32"}, ValueError, "general.alignment is '32'"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_nothing_written(
    tmp_path: Path,
    tensors: dict[str, Any],
    metadata: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        qk.save_gguf(tmp_path / "a.gguf", tensors, metadata)
    assert list(tmp_path.iterdir()) == []


class FailsLate(Mapping[str, qk.QTensor]):
    """Its last tensor is asked for and then not to be had."""

    def __init__(self, failure: BaseException) -> None:
        self.failure = failure

    def __iter__(self) -> Iterator[str]:
        return iter(("first", "last"))

    def __len__(self) -> int:
        return 2

    def __getitem__(self, name: str) -> qk.QTensor:
        if name == "last":
            raise self.failure
        return tensor("q4_0", 2, 64)


@pytest.mark.parametrize("failure", [OSError("gone"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_whole(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)):
        qk.save_gguf(path, FailsLate(failure))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_importing_the_package_leaves_the_writer_out() -> None:
    import subprocess
    import sys

    code = "import sys, qkernels; sys.exit('qkernels.save' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
