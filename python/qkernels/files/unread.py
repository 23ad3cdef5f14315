"""UnreadTensor: a tensor of a type that qkernels does not know, as the bytes that a file has."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

NDArray = np.ndarray[Any, Any]


class UnreadTensor:
    """A tensor of a type that qkernels does not read: its bytes, and nothing that is made of them.

    A GGUFFile hands one out, so that files with such tensors can be gone through and copied;
    `save_gguf` writes it as it was. Whatever asks for its weights raises ValueError.
    """

    __slots__ = ("_data", "_reason", "_shape", "_stored", "_type_id", "_type_name")

    def __init__(
        self,
        data: NDArray,
        type_id: int,
        type_name: str | None,
        shape: tuple[int, ...],
        stored: tuple[int, ...],
        reason: str,
    ) -> None:
        self._data = data
        self._type_id = type_id
        self._type_name = type_name
        self._shape = shape
        self._stored = stored
        self._reason = reason

    @property
    def data(self) -> NDArray:
        """The bytes, uint8 and read-only. Of a type whose size is unknown they reach to the next
        tensor of the file, or to its end.
        """
        return self._data

    @property
    def type_id(self) -> int:
        """The type's number in GGUF."""
        return self._type_id

    @property
    def type_name(self) -> str | None:
        """The type's name, or None for a number that GGUF does not have."""
        return self._type_name

    @property
    def shape(self) -> tuple[int, ...]:
        """NumPy's order, k last."""
        return self._shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """The number of weights."""
        size = 1
        for extent in self._shape:
            size *= extent
        return size

    @property
    def nbytes(self) -> int:
        """The bytes of `data`."""
        return int(self._data.nbytes)

    @property
    def reason(self) -> str:
        """Why it is not read."""
        return self._reason

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise ValueError(self._reason)

    # What weights are asked for.
    dequantize = pack = raw_ints = to = __getitem__ = __matmul__ = __rmatmul__ = _refuse
    __array__ = __array_ufunc__ = __dlpack__ = __dlpack_device__ = _refuse

    def __reduce__(self) -> tuple[type[UnreadTensor], tuple[Any, ...]]:
        """Pickle the bytes themselves."""
        arguments = (self._type_id, self._type_name, self._shape, self._stored, self._reason)
        return UnreadTensor, (np.array(self._data), *arguments)

    def __repr__(self) -> str:
        """Type, shape and size in one line."""
        kind = self._type_name or f"type {self._type_id}"
        return f"UnreadTensor({kind}, shape={self._shape}, {self.nbytes:,} bytes)"
