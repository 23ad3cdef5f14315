"""GGUF files that are unusual and right: all that is in them comes out."""

import struct
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from gguf_expected import Array, Matrix, Unread
from gguf_unusual_files import UNUSUAL


def check(file: qk.GGUFFile, name: str, expected: Array | Matrix | Unread) -> None:
    tensor = file[name]
    if isinstance(expected, Unread):
        assert isinstance(tensor, qk.UnreadTensor)
        assert tensor.data.tobytes() == expected.raw
        with pytest.raises(ValueError, match=expected.message):
            tensor.dequantize()
        return
    if isinstance(expected, Matrix):
        assert isinstance(tensor, qk.QTensor)
        assert (tensor.fmt, tensor.shape) == (expected.fmt, expected.shape)
        assert np.asarray(tensor.data).tobytes() == expected.raw
        assert tensor.dequantize().shape == expected.shape
    else:
        assert isinstance(tensor, np.ndarray)
        assert (tensor.dtype.name, tensor.shape) == (expected.dtype, expected.shape)
        assert tensor.tobytes() == expected.raw
        assert not tensor.flags.writeable


def bits(value: object) -> object:
    """Floats by their bits: -0.0 is another value than 0.0."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "copied"])
@pytest.mark.parametrize("case", UNUSUAL)
def test_all_of_an_unusual_file_comes_out(tmp_path: Path, mmap: bool, case: str) -> None:
    unusual = UNUSUAL[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(unusual.raw)
    with qk.load_gguf(path, mmap=mmap) as file:
        assert list(file.metadata) == list(unusual.metadata)
        for key, value in unusual.metadata.items():
            got = file.metadata[key]
            if isinstance(value, list):
                assert isinstance(got, list)
                assert list(map(bits, got)) == list(map(bits, value))
            else:
                assert bits(got) == bits(value)
        assert list(file) == list(unusual.tensors)
        for name, expected in unusual.tensors.items():
            check(file, name, expected)
        assert repr(file).startswith("GGUFFile(")
        assert repr(file.metadata)
