"""Tensors that `save_gguf` takes: arrays of every library and rank, and names that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
import torch

import qkernels as qk

NDArray = np.ndarray[Any, Any]


class LikeJax:
    """What an array of JAX is to others: read-only, with `__array__` and DLPack."""

    def __init__(self, array: NDArray) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return self.array


class DlpackOnly:
    """An array that says nothing but DLPack."""

    def __init__(self, array: NDArray) -> None:
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **arguments: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def written(path: Path, tensor: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Type, shape and bytes of a tensor that was saved, as the gguf package reads them."""
    qk.save_gguf(path, {"w": tensor})
    (found,) = gguf.GGUFReader(path).tensors
    shape = tuple(int(extent) for extent in found.shape[::-1])
    return found.tensor_type.name, shape, np.ascontiguousarray(found.data).tobytes()


VALUES = np.array([[1.0, -2.5, 3.0], [0.5, 0.0, -1.0]], np.float32)
BFLOATS = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
GRADIENT = torch.from_numpy(VALUES).clone().requires_grad_()
ARRAYS: dict[str, tuple[Any, str, bytes]] = {
    "torch's bfloat16": (torch.from_numpy(VALUES).bfloat16(), "BF16", BFLOATS.tobytes()),
    "torch's bfloat16, transposed": (
        torch.from_numpy(VALUES).bfloat16().T,
        "BF16",
        np.ascontiguousarray(BFLOATS.T).tobytes(),
    ),
    "ml_dtypes' bfloat16": (VALUES.astype(ml_dtypes.bfloat16), "BF16", BFLOATS.tobytes()),
    "a tensor that is negated lazily": (
        torch.complex(torch.from_numpy(VALUES), torch.from_numpy(VALUES)).conj().imag,
        "F32",
        (-VALUES).tobytes(),
    ),
    "a tensor that asks for a gradient": (GRADIENT, "F32", VALUES.tobytes()),
    "a parameter": (torch.nn.Parameter(torch.from_numpy(VALUES)), "F32", VALUES.tobytes()),
    "torch's halves": (torch.from_numpy(VALUES).half(), "F16", VALUES.astype("f2").tobytes()),
    "torch's integers": (
        torch.arange(6).reshape(2, 3), "I64", np.arange(6, dtype="i8").tobytes(),
    ),
    "an array of JAX": (LikeJax(VALUES), "F32", VALUES.tobytes()),
    "an array of JAX in bfloat16": (
        LikeJax(VALUES.astype(ml_dtypes.bfloat16)), "BF16", BFLOATS.tobytes(),
    ),
    "DLPack": (DlpackOnly(VALUES.copy()), "F32", VALUES.tobytes()),
    "other byte order": (VALUES.astype(">f4"), "F32", VALUES.tobytes()),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_of_every_library_are_written(tmp_path: Path, case: str) -> None:
    array, type_name, raw = ARRAYS[case]
    assert written(tmp_path / "a.gguf", array) == (type_name, tuple(array.shape), raw)


@pytest.mark.parametrize(
    "scalar",
    [
        np.float32(4.6),
        np.array(4.6, np.float16),
        np.int8(3),
        torch.tensor(4.5),
    ],
)
def test_scalars_are_tensors_without_dimensions(tmp_path: Path, scalar: Any) -> None:
    _, shape, raw = written(tmp_path / "a.gguf", scalar)
    assert shape == ()
    found = qk.load_gguf(tmp_path / "a.gguf")["w"]
    assert isinstance(found, np.ndarray)
    assert (found.shape, float(found)) == ((), float(scalar))
    assert len(raw) == scalar.itemsize if isinstance(scalar, np.ndarray) else raw


@pytest.mark.parametrize(
    "scalar", [torch.tensor(4.5).bfloat16(), np.array(2.5, ml_dtypes.bfloat16)]
)
def test_a_bfloat16_without_dimensions_is_refused(tmp_path: Path, scalar: Any) -> None:
    with pytest.raises(ValueError, match="which the gguf package does not read"):
        qk.save_gguf(tmp_path / "a.gguf", {"w": scalar})
    qk.save_gguf(tmp_path / "a.gguf", {"w": scalar.reshape(1)})


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (2, 0, 3)])
def test_tensors_without_elements_are_written_anywhere(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    empty, full = np.zeros(shape, np.float32), np.ones(4, np.float32)
    for order in (("a", "w"), ("w", "a")):
        tensors = {"a": empty, "w": full}
        qk.save_gguf(tmp_path / "a.gguf", {name: tensors[name] for name in order})
        for tensor in gguf.GGUFReader(tmp_path / "a.gguf").tensors:
            assert tuple(tensor.shape[::-1]) == tensors[tensor.name].shape
        file = qk.load_gguf(tmp_path / "a.gguf")
        for name in order:
            np.testing.assert_array_equal(np.asarray(file[name]), tensors[name])


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(4).to(torch.float8_e4m3fn), "tensor 'w' is .*float8_e4m3fn"),
        (np.ones(4, ml_dtypes.float8_e4m3fn), "tensor 'w' is float8_e4m3fn"),
        (torch.ones(4, dtype=torch.complex64), "tensor 'w' is .*complex64"),
        (np.ones(4, complex), "tensor 'w' is complex128"),
        (np.array([1, "a"], object), "tensor 'w' is object"),
        (
            np.ma.masked_array([1.0, 2.0], [True, False]),
            "tensor 'w' is a masked array; fill it first",
        ),
        (np.ones(4, bool), "tensor 'w' is bool"),
        (np.ones(4, np.uint32), "tensor 'w' is uint32"),
        (np.array(["a"]), "tensor 'w' is str"),
        (torch.ones(4, device="meta"), "tensor 'w' is on meta"),
        (torch.eye(4).to_sparse(), "tensor 'w' is a torch.sparse_coo tensor"),
        ([1.0], "tensor 'w' is list"),
        (1.0, "tensor 'w' is float"),
        ("a", "tensor 'w' is str"),
        (None, "tensor 'w' is NoneType"),
    ],
)
def test_what_is_no_tensor_of_a_file_is_refused_by_name(
    tmp_path: Path, tensor: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        qk.save_gguf(tmp_path / "a.gguf", {"w": tensor})
    assert list(tmp_path.iterdir()) == []


def test_tensors_are_a_mapping(tmp_path: Path) -> None:
    for wrong in ([np.ones(4)], np.ones(4), "a", None):
        with pytest.raises(TypeError, match="tensors are a mapping of names to tensors, not"):
            qk.save_gguf(tmp_path / "a.gguf", wrong)  # type: ignore[arg-type]


# ggml reads names that are shorter than GGML_MAX_NAME, 64 bytes, and ends them at a null character;
# the gguf package decodes them as UTF-8. Both refuse a name that occurs twice.


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("x" * 64, ValueError, "has 64 bytes; ggml reads at most 63"),
        ("é" * 32, ValueError, "has 64 bytes"),
        ("x" * 100_000, ValueError, "has 100000 bytes"),
        ("a\0b", ValueError, r"tensor name 'a\\x00b' holds a null character"),
        ("\0", ValueError, "holds a null character"),
        ("\udcff", ValueError, "is no UTF-8"),
        ("\ud800", ValueError, "which is no text"),
        (7, TypeError, "a tensor's name is a str, not int: 7"),
        (b"w", TypeError, "a tensor's name is a str, not bytes"),
        (None, TypeError, "a tensor's name is a str, not NoneType"),
    ],
)
def test_names_that_others_do_not_read_are_refused(
    tmp_path: Path, name: Any, error: type[Exception], message: str
) -> None:
    for tensor in (np.ones(4, np.float32), qk.quantize(np.ones((1, 32), np.float32), "q8_0")):
        with pytest.raises(error, match=message):
            qk.save_gguf(tmp_path / "a.gguf", {name: tensor})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", " ", "x" * 63, "é" * 31 + "x", "a/b", "\N{PILE OF POO}"])
def test_names_that_are_written_are_read_by_all(tmp_path: Path, name: str) -> None:
    qk.save_gguf(tmp_path / "a.gguf", {name: np.ones(4, np.float32)})
    (found,) = gguf.GGUFReader(tmp_path / "a.gguf").tensors
    assert [found.name] == list(qk.load_gguf(tmp_path / "a.gguf")) == [name]


@pytest.mark.parametrize("alignment", [1, 2, 4, 8, 64, 4096])
def test_every_alignment_that_is_read_is_written(tmp_path: Path, alignment: int) -> None:
    """ggml and the gguf package take any power of two that a uint32 holds."""
    tensors: dict[str, Any] = {
        "odd": np.arange(3, dtype=np.int8),
        "w": np.arange(5, dtype=np.float32),
    }
    for value in (alignment, np.int64(alignment)):
        qk.save_gguf(tmp_path / "a.gguf", tensors, {"general.alignment": value})
        expected = 0
        for tensor in gguf.GGUFReader(tmp_path / "a.gguf").tensors:
            np.testing.assert_array_equal(tensor.data, tensors[tensor.name])
            assert int(tensor.field.parts[-1][0]) == expected  # where ggml looks for it
            expected += -(-tensor.n_bytes // alignment) * alignment
        file = qk.load_gguf(tmp_path / "a.gguf")
        np.testing.assert_array_equal(np.asarray(file["w"]), tensors["w"])


def test_bfloat16_vectors_of_a_file_are_gains_and_biases(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.float32)
    weights = qk.quantize(np.ones((64, 64), np.float32), "q8_0")
    qk.save_gguf(tmp_path / "a.gguf", {"v": torch.from_numpy(values).bfloat16()})
    vector: Any = qk.load_gguf(tmp_path / "a.gguf")["v"]
    x = np.ones((1, 64), np.float32)
    np.testing.assert_array_equal(
        qk.rmsnorm_linear(x, vector, weights), qk.rmsnorm_linear(x, values, weights)
    )
    np.testing.assert_array_equal(
        qk.gemm(weights, x, bias=vector), qk.gemm(weights, x, bias=values)
    )
