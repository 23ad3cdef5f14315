"""The shared object `_cuda`: found and loaded when it is first needed, its errors as exceptions."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref
from functools import lru_cache
from pathlib import Path
from typing import Any

from qkernels import _core
from qkernels.cuda import _abi

VARIABLE = "QKERNELS_CUDA_LIBRARY"


class CudaError(RuntimeError):
    """CUDA refused a call, or there is no CUDA to call; `number` is CUDA's own, or 0."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number


def _exception(error: _abi.Error) -> Exception:
    message = error.message.decode(errors="replace")
    if error.code == _abi.RUNTIME:
        return CudaError(message, error.cuda_error)
    kinds: dict[int, type[Exception]] = {
        _abi.TYPE: TypeError,
        _abi.VALUE: ValueError,
        _abi.INDEX: IndexError,
        _abi.MEMORY: MemoryError,
    }
    return kinds[error.code](message)


class Library:
    """A loaded `_cuda`, whose functions raise what went wrong."""

    def __init__(self, path: Path) -> None:
        self._dll = ctypes.CDLL(str(path))
        self._dll.qk_cuda_abi.restype = ctypes.c_int
        abi = self._dll.qk_cuda_abi()
        if abi != _abi.ABI:
            raise CudaError(f"{path} has version {abi} of the interface, not {_abi.ABI}")
        _abi.declare(self._dll)

    def call(self, name: str, *args: Any) -> None:
        """Call `qk_cuda_<name>`.

        Raises:
            TypeError, ValueError, IndexError, MemoryError, CudaError: what the call reports.
        """
        error = _abi.Error()
        if getattr(self._dll, f"qk_cuda_{name}")(*args, byref(error)) != _abi.OK:
            raise _exception(error)


def path() -> Path:
    """The file that is loaded: beside the core, unless the environment names another."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path(_core.__file__).with_name("_cuda.so")


@lru_cache(maxsize=1)
def _load() -> tuple[Library | None, str]:
    """The library, and why there is none, found out once a process."""
    file = path()
    if not file.exists():
        return None, f"this installation was built without CUDA: there is no {file}"
    try:
        library = Library(file)
        library.call("available")
    except CudaError as error:
        return None, str(error)
    except (OSError, AttributeError) as error:
        return None, f"{file} cannot be loaded: {error}"
    return library, ""


def reason() -> str:
    """Why `available()` is False, in words; "" where it is True."""
    return _load()[1]


def available() -> bool:
    """Whether there is a device here that the kernels run on. Never raises.

    The first call loads the kernels and asks the driver; later ones return the same.
    """
    return _load()[0] is not None


def library() -> Library:
    """The loaded library.

    Raises:
        CudaError: there is none that could run here, with the reason.
    """
    loaded, why = _load()
    if loaded is None:
        raise CudaError(f"no CUDA device can be used: {why}")
    return loaded


def device_count() -> int:
    """How many CUDA devices there are; 0 where `available()` is False."""
    if not available():
        return 0
    count = ctypes.c_int32()
    library().call("device_count", byref(count))
    return count.value


def device_info(device: int = 0) -> dict[str, Any]:
    """A device's name, capability, multiprocessors, driver, and bytes of memory and of L2.

    Raises:
        IndexError: there is no such device.
        CudaError: `available()` is False.
    """
    info = _abi.DeviceInfo()
    library().call("device", device, byref(info))
    return {
        "name": info.name.decode(errors="replace"),
        "capability": (info.major, info.minor),
        "multiprocessors": info.multiprocessors,
        "driver": f"{info.driver_version // 1000}.{info.driver_version % 1000 // 10}",
        "memory_bytes": info.memory_bytes,
        "l2_bytes": info.l2_bytes,
    }


def number_of(names: tuple[Any, ...], value: object, what: str) -> int:
    """Where a name is in a table of the interface.

    Raises:
        TypeError: it is no name at all.
        ValueError: it is not there.
    """
    if value in names:
        return names.index(value)
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {type(value).__name__}")
    raise ValueError(f"{what}={value!r} is not one of {', '.join(map(str, names))}")


@lru_cache(maxsize=64)
def format_number(name: str) -> int:
    """A format's number in this library."""
    number = ctypes.c_int32()
    library().call("find_format", name.encode(), byref(number))
    return number.value


@lru_cache(maxsize=64)
def format_info(number: int) -> _abi.FormatInfo:
    """What the interface says of a format."""
    info = _abi.FormatInfo()
    library().call("format_info", number, byref(info))
    return info


def row_bytes(fmt: int, layout: int, k: int) -> int:
    """The bytes of a row of k weights."""
    count = ctypes.c_int64()
    library().call("row_bytes", fmt, layout, k, byref(count))
    return count.value


@lru_cache(maxsize=1024)
def activation_bytes(act: int, m: int, k: int) -> int:
    """The bytes of m rows of k activations, quantised."""
    count = ctypes.c_int64()
    library().call("activation_bytes", act, m, k, byref(count))
    return count.value
