"""DeviceArray: an array in device memory of ours, for programs without another library for that."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels.cuda import _abi, _dlpack, _memory, _streams
from qkernels.cuda import _dlpack_abi as dl
from qkernels.cuda._interface import TYPES, c_strides
from qkernels.cuda._library import number_of
from qkernels.cuda._view import View

if TYPE_CHECKING:
    NDArray = np.ndarray[Any, Any]

_TYPESTR = {name: typestr for typestr, name in TYPES.items()}


class DeviceArray:
    """A contiguous array of floats on a device. Other libraries take it without a copy.

    It exports `__cuda_array_interface__` (version 3) and `__dlpack__`; its memory is freed once,
    by `free()` or when the last reference to it goes.

    Args:
        shape: its dimensions; one may be 0.
        dtype: "float32", "float16" or "bfloat16".
        device: the device's number.
        stream: the stream that its contents are written on; the default one when None.

    Raises:
        ValueError: a negative dimension, or another dtype.
        MemoryError: the device has no room.
    """

    __slots__ = ("__weakref__", "_memory", "_stream", "dtype", "shape")
    __array_ufunc__ = None

    def __init__(
        self, shape: tuple[int, ...], dtype: str = "float32", device: int = 0, *, stream: Any = None
    ) -> None:
        number_of(_abi.DTYPES, dtype, "dtype")
        if any(d < 0 for d in shape):
            raise ValueError(f"shape {shape} has a negative dimension")
        self.shape = tuple(shape)
        self.dtype = dtype
        self._stream = 0 if stream is None else _streams.handle(stream)
        self._memory = _memory.Memory(device, max(1, self.nbytes))

    @classmethod
    def from_numpy(cls, array: NDArray, device: int = 0, *, stream: Any = None) -> DeviceArray:
        """A copy of a float32 or float16 array (or of ml_dtypes' bfloat16) on a device.

        Raises:
            TypeError: another dtype.
        """
        if array.dtype.name not in _abi.DTYPES:
            raise TypeError(f"dtype {array.dtype} is not one of {', '.join(_abi.DTYPES)}")
        copy = cls(array.shape, array.dtype.name, device, stream=stream)
        host = np.ascontiguousarray(array)
        if host.size:
            _memory.to_device(device, copy.pointer, host.ctypes.data, copy.nbytes, copy.stream)
        return copy

    def numpy(self) -> NDArray:
        """A copy in the host's memory. Blocks until the array's stream has come so far.

        bfloat16, which NumPy lacks, comes as float32, which holds all its values.
        """
        bits = "u2" if self.dtype == "bfloat16" else _TYPESTR[self.dtype]
        host = np.empty(self.shape, bits)
        if host.size:
            device = self._memory.device
            _memory.to_host(device, host.ctypes.data, self.pointer, self.nbytes, self.stream)
        if self.dtype == "bfloat16":
            return (host.astype(np.uint32) << 16).view(np.float32)
        return host

    @property
    def pointer(self) -> int:
        """The address of the first element; ValueError after `free()`."""
        return self._memory.pointer

    @property
    def device(self) -> str:
        """Where it lies, such as "cuda:0"."""
        return f"cuda:{self._memory.device}"

    @property
    def stream(self) -> int:
        """The number of the stream that writes it."""
        return self._stream

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.size * _abi.ITEM_BYTES[self.dtype]

    def free(self) -> None:
        """Give the memory back. Whoever uses the array afterwards gets a ValueError."""
        self._memory.free()

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """See Numba's documentation of the protocol, version 3."""
        return {
            "shape": self.shape,
            "typestr": _TYPESTR[self.dtype],
            "data": (self.pointer, False),
            "version": 3,
            "strides": None,
            "stream": self._stream or _streams.LEGACY_DEFAULT,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number for CUDA, and the device's."""
        return dl.CUDA, self._memory.device

    def __dlpack__(
        self, *, stream: int | None = None, copy: bool | None = None, **_: Any
    ) -> object:
        """A capsule that shares this memory, for work on the consumer's stream.

        Raises:
            BufferError: a copy is asked for.
        """
        if copy:
            raise BufferError("a DeviceArray exports its memory, and makes no copies")
        if stream != -1:
            _streams.wait(self._memory.device, stream or _streams.LEGACY_DEFAULT, self._stream)
        return _dlpack.export(
            View(
                what="array",
                pointer=self.pointer,
                shape=self.shape,
                strides=c_strides(self.shape),
                dtype=self.dtype,
                device=self._memory.device,
                stream=None,
                reader=None,
                writable=True,
                owner=self,
            )
        )

    def __len__(self) -> int:
        """The first dimension."""
        return self.shape[0]

    def __array__(self, *args: object, **kwargs: object) -> Any:
        """Refused, so that nothing waits for a device by accident."""
        raise TypeError("a DeviceArray does not turn into an array by itself; call .numpy()")

    def __repr__(self) -> str:
        """Shape, dtype and device in one line."""
        return f"DeviceArray(shape={self.shape}, {self.dtype}, {self.device})"
