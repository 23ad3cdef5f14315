"""torch's tensors: its current stream, its allocator, and its products for large batches.

The only part of qkernels.cuda that imports torch; it is imported for the first torch tensor.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from qkernels.cuda import _streams
from qkernels.cuda._arrays import Arrays
from qkernels.cuda._large import multiply_by_tiles
from qkernels.cuda._view import View

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from qkernels.cuda._call import Call

_DTYPES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
_TORCH = {name: dtype for dtype, name in _DTYPES.items()}


class Runtime:
    """What is asked of torch.cuda."""

    def usable(self) -> bool:
        """Whether torch has CUDA here."""
        return torch.cuda.is_available()

    def index(self, x: torch.Tensor) -> int | None:
        """The number of the CUDA device that a tensor is on, None for other devices."""
        return x.device.index if x.device.type == "cuda" else None

    def place(self, device: int) -> torch.device:
        """A device as torch has it."""
        return torch.device("cuda", device)

    def current_device(self) -> int:
        """The device that "cuda" means."""
        return torch.cuda.current_device()

    def current_stream(self, device: int) -> int:
        """The stream on which torch puts its work."""
        return int(torch.cuda.current_stream(device).cuda_stream)

    def using(self, device: int, stream: int) -> AbstractContextManager[Any]:
        """Makes a stream torch's current one, for work and for what it allocates."""
        if _streams.same(stream, self.current_stream(device)):
            return nullcontext()
        external = torch.cuda.ExternalStream(stream, device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(external)

    def record(self, x: torch.Tensor, device: int, stream: int) -> None:
        """Keeps the allocator from giving x's memory to others before a stream is done with it."""
        if not _streams.same(stream, self.current_stream(device)):
            x.record_stream(torch.cuda.ExternalStream(stream, device))  # type: ignore[no-untyped-call]


runtime = Runtime()  # tests, which have no such device, put another here


class TorchArrays(Arrays):
    """CUDA tensors. Results are tensors, scratch comes from torch's allocator."""

    def view(self, x: Any, what: str, stream: int, *, writable: bool = False) -> View:
        """See Arrays; inputs whose rows are not contiguous are copied, by torch."""
        device = self.device(x, what)
        x = _without_history(x, what)
        if x.dtype not in _DTYPES:
            raise TypeError(
                f"{what} has dtype {x.dtype}; expected torch.float32, torch.float16 or "
                "torch.bfloat16"
            )
        if not writable:
            x = x.resolve_neg()  # a view that is negated as it is read
            x = x if _has_rows(x) else x.contiguous()
        runtime.record(x, device, stream)
        return View(
            what=what,
            pointer=x.data_ptr(),
            shape=tuple(x.shape),
            strides=x.stride(),
            dtype=_DTYPES[x.dtype],
            device=device,
            stream=runtime.current_stream(device),
            reader=None,
            writable=True,
            owner=x,
        )

    def device(self, x: Any, what: str) -> int:
        """See Arrays."""
        if x.layout != torch.strided:
            raise TypeError(f"{what} is a {x.layout} tensor; pass {what}.to_dense()")
        device = runtime.index(x)
        if device is None:
            raise TypeError(f"{what} is on {x.device}; it must be on the weights' CUDA device")
        return device

    def current_stream(self, device: int) -> int:
        """See Arrays: torch's."""
        return runtime.current_stream(device)

    def empty(self, shape: tuple[int, ...], dtype: str, device: int, stream: int) -> torch.Tensor:
        """See Arrays."""
        with runtime.using(device, stream):
            return torch.empty(shape, dtype=_TORCH[dtype], device=runtime.place(device))

    @contextmanager
    def scratch(self, nbytes: int, device: int, stream: int) -> Iterator[int]:
        """See Arrays: memory that torch gives to others only for work that comes later."""
        with runtime.using(device, stream):
            memory = torch.empty(nbytes, dtype=torch.uint8, device=runtime.place(device))
        yield memory.data_ptr()

    def bias(self, x: Any, what: str, stream: int) -> View:
        """See Arrays; a bias of another float dtype is converted, by torch."""
        if x.dtype in _DTYPES and x.dtype != torch.float32:
            x = _without_history(x, what).float()
        return super().bias(x, what, stream)

    def multiply_large(self, call: Call) -> bool:
        """See Arrays: weights are decoded a tile at a time, for torch's product."""
        x, y = call.x.owner, call.y.owner
        if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
            return False
        with runtime.using(call.device, call.stream):
            multiply_by_tiles(call, x, y)
        return True


def _without_history(x: torch.Tensor, what: str) -> torch.Tensor:
    if not x.requires_grad:
        return x
    if torch.is_grad_enabled():
        raise TypeError(
            f"{what} requires a gradient, and qkernels computes none: "
            f"pass {what}.detach(), or call under torch.no_grad()"
        )
    return x.detach()


def _has_rows(x: torch.Tensor) -> bool:
    """Whether elements of the last dimension are side by side, and rows equally far apart."""
    if x.ndim == 0 or x.is_contiguous():
        return True
    return x.ndim < 3 and x.stride(-1) == 1 and (x.ndim == 1 or x.stride(0) >= x.shape[1])


TENSORS = TorchArrays()
