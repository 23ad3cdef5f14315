"""Executor: weights by name in reserved device memory, and products that return before they end."""

from __future__ import annotations

import threading
from ctypes import byref
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels.cuda import _abi, _elementwise, _memory, _streams, _view
from qkernels.cuda._call import Call, multiply_quantized
from qkernels.cuda._catalog import Catalog
from qkernels.cuda._host import gemv_of_host
from qkernels.cuda._kinds import INTERFACE, kind_of, stream_for
from qkernels.cuda._library import device_count, library
from qkernels.cuda._pool import Pool
from qkernels.cuda._product import product, result
from qkernels.cuda._workspace import Workspace
from qkernels.cuda.activations import INT8, Activations

if TYPE_CHECKING:
    from types import TracebackType

    from qkernels.cuda._arrays import Arrays
    from qkernels.weights.qtensor import QTensor


class Executor:
    """Products by the names of weights, for programs that manage device memory themselves.

        with qkernels.cuda.Executor() as executor:
            executor.reserve(2 << 30)
            for name, weights in file.items():
                executor.load(name, weights)
            y = executor.gemv("blk.0.attn_q.weight", x)

    Calls with arrays on the device are put on a stream and return; when a stream has been used
    once, they allocate nothing but the results that no `out` was given for. Threads may share an
    Executor. Graphs may capture calls after the last `load`, which can move what they refer to.

    Args:
        device: the device's number.
        stream: the stream of calls that name none: a stream or its number. None stands for torch's
            current stream where arrays are torch's, and for the default stream elsewhere.

    Raises:
        IndexError: there is no such device.
        CudaError: `qkernels.cuda.available()` is False.
    """

    def __init__(self, device: int = 0, stream: Any = None) -> None:
        library()
        if not 0 <= device < device_count():
            raise IndexError(f"device {device} is outside 0..{device_count() - 1}")
        self._device = device
        self._stream = None if stream is None else _streams.handle(stream)
        self._lock = threading.RLock()
        self._pool = Pool(device)
        self._catalog = Catalog(self._pool)
        self._workspace = Workspace(self._pool, self._lock)
        self._closed = False

    @property
    def device(self) -> str:
        """The device, such as "cuda:0"."""
        return f"cuda:{self._device}"

    def reserve(self, nbytes: int) -> None:
        """Allocate memory for weights and scratch at once; a second call adds to it.

        Weights go to the first gap that holds them, and where none does, to memory of their own.

        Raises:
            ValueError: nbytes is not positive.
            MemoryError: the device has no room.
        """
        with self._open():
            self._pool.reserve(nbytes)

    def load(self, name: str, weights: QTensor, *, pack: bool = True) -> None:
        """Copy weights to the device under a name. Blocks until they are there.

        Memory is allocated only for what does not fit in the reserved size.

        Args:
            name: what they are called from now on.
            weights: a matrix (n, k).
            pack: whether rows take the layout that the kernels read fastest.

        Raises:
            TypeError: weights are not a QTensor.
            ValueError: the name is taken, or a stack of experts.
            MemoryError: the device has no room.
        """
        with self._open():
            loaded = self._catalog.load(name, weights, pack)
            self._workspace.fit(loaded)
            self._workspace.use(self._stream or 0)

    def unload(self, name: str) -> None:
        """Forget weights and give their memory back, to the reserved size or to the device.

        Blocks until all work on the device has ended.

        Raises:
            KeyError: no such name.
        """
        with self._open():
            self._catalog.unload(name)

    def __contains__(self, name: object) -> bool:
        """Whether weights of this name are loaded."""
        return name in self._catalog

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the weights, in the order in which they were loaded."""
        return self._catalog.names

    @property
    def nbytes(self) -> int:
        """The bytes of all weights on the device."""
        return self._catalog.nbytes

    @property
    def reserved(self) -> int:
        """The bytes that were reserved, for weights and scratch."""
        return self._pool.reserved

    @property
    def free(self) -> int:
        """How many of them are free, in gaps of any size."""
        return self._pool.available

    def quantize_q8(
        self, x: Any, out: Activations | None = None, stream: Any = None
    ) -> Activations:
        """Quantise x to 8 bits, once for several products. Asynchronous: one launch.

        Args:
            x: (k,), or (m, k) with m at most 8, in float32, float16 or bfloat16 on the device.
            out: activations of the same shape, to be overwritten; new ones when None, which takes
                an allocation. It is returned.
            stream: as for `gemv`.

        Raises:
            TypeError: x is in the host's memory, or of another dtype.
            ValueError: a wrong shape or device; null.
        """
        kind = kind_of(x, "x")
        with self._open():
            stream = self._stream_for(kind, stream)
            view = kind.view(x, "x", stream)
            view.check_device(self._device, "the executor")
            if len(view.shape) not in (1, 2) or not 1 <= _rows(view.shape) <= _abi.MOST_COLUMNS:
                raise ValueError(f"x has shape {view.shape}; expected (k,), or (m, k) with m <= 8")
            matrix = view.matrix()
            if out is None:
                nbytes = Activations.bytes_of(view.shape)
                out = Activations(_memory.Memory(self._device, nbytes), view.shape, stream)
            self._check_activations(out, "out")
            if out.shape != view.shape:
                raise ValueError(f"out has shape {out.shape}, x has {view.shape}")
            _view.wait_for([view], self._device, stream)
            _streams.wait(self._device, stream, out.stream)
            library().call("quantize", self._device, byref(matrix), INT8, out.pointer, stream)
            out.stream = stream
            return out

    def gemv_q8(self, name: str, q8: Activations, out: Any = None, stream: Any = None) -> Any:
        """Multiply activations that are quantised already. Asynchronous: one launch.

        Args:
            name: of the weights (n, k).
            q8: what `quantize_q8` made of x.
            out: (n,) or (m, n) on the device, float32, float16 or bfloat16; a new DeviceArray when
                None. It is returned.
            stream: as for `gemv`; it waits for the stream on which q8 was made.

        Raises:
            KeyError: no such name.
            TypeError: q8 are not Activations, or out is no array on a device.
            ValueError: a wrong k, shape or device; activations that were freed; float weights.
        """
        with self._open():
            weights = self._catalog.find(name)
            self._check_activations(q8, "q8")
            if q8.k != weights.k:
                raise ValueError(f"q8 has k={q8.k}, {name!r} has k={weights.k} ({weights.fmt})")
            if weights.is_float:
                raise ValueError(f"{name!r} holds {weights.fmt} weights: they take no int8; gemv")
            kind = INTERFACE if out is None else kind_of(out, "out")
            stream = self._stream_for(kind, stream)
            shape = (*q8.shape[:-1], weights.shape[0])
            out, y = result(kind, out, shape, weights, stream)
            _view.wait_for([y], self._device, stream)
            _streams.wait(self._device, stream, q8.stream)
            call = Call(weights, None, y, y, None, None, "int8", None, self._device, stream)
            multiply_quantized(call, q8.pointer)
            _view.release(y, self._device, stream)
            return out

    def gemv(
        self, name: str, x: Any, act: str = "int16", out: Any = None, stream: Any = None
    ) -> Any:
        """Multiply by the weights of a name. Asynchronous, or with NumPy arrays blocking.

        Args:
            name: of the weights (n, k).
            x: (k,) or (..., k), in float32, float16 or bfloat16; up to 8 rows are one product.
                On the device, any array that `qkernels.cuda.gemm` takes: x is quantised and
                multiplied, and the call returns before the kernels end. A NumPy array is copied
                there and the result back, and the call returns when it is there.
            act: "int16", "float32" or "int8", as for `qkernels.cuda.gemv`.
            out: (..., n), where x is: on the device or a NumPy array. It is returned.
            stream: a stream or its number, instead of the executor's.

        Returns:
            (..., n) in float32 unless `out` says otherwise: a torch tensor, a DeviceArray or a
            NumPy array, as x is.

        Raises:
            KeyError: no such name.
            TypeError: a wrong dtype, or x and out not both on the device or both NumPy's.
            ValueError: a wrong k, shape, name or device; null.
        """
        with self._open():
            weights = self._catalog.find(name)
            if isinstance(x, np.ndarray):
                stream = self._stream_for(INTERFACE, stream)
                return gemv_of_host(weights, x, act, out, stream, self._workspace)
            stream = self._stream_for(kind_of(x, "x"), stream)
            return product(
                weights, x, act=act, out=out, stream=stream, vector=False,
                scratch=self._workspace.scratch,
            )  # fmt: skip

    def gelu_(self, t: Any, bias: Any = None, approximate: str = "none", stream: Any = None) -> Any:
        """Gelu in place, on the executor's stream: see `qkernels.cuda.gelu_`."""
        with self._open():
            stream = self._stream_for(kind_of(t, "t"), stream)
            return _elementwise.gelu_(t, bias, approximate, stream)

    def close(self) -> None:
        """Free all weights and all reserved memory. A second time does nothing."""
        with self._lock:
            self._catalog.close()
            self._workspace.close()
            self._pool.close()
            self._closed = True

    def __enter__(self) -> Executor:
        """The executor, to be closed at the end of a with statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Device, number of weights and their size in one line."""
        state = "closed" if self._closed else f"{len(self.names)} weights, {self.nbytes:,} bytes"
        return f"Executor({self.device}, {state})"

    def _open(self) -> Any:
        """The lock, held while a call is checked and put on its stream."""
        if self._closed:
            raise ValueError("the executor is closed")
        return self._lock

    def _stream_for(self, kind: Arrays, stream: Any) -> int:
        return stream_for(kind, self._device, self._stream if stream is None else stream)

    def _check_activations(self, activations: object, what: str) -> None:
        if not isinstance(activations, Activations):
            raise TypeError(
                f"{what} must be Activations of quantize_q8, not {type(activations).__name__}"
            )
        if activations.device_number != self._device:
            raise ValueError(
                f"{what} is on {activations.device}, the executor on cuda:{self._device}"
            )


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 2 else 1
