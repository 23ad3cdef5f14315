"""torch without CUDA, as if it had the emulated device."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from qkernels.cuda import _torch

STREAM = 0x50  # which is always torch's current one


class EmulatedRuntime(_torch.Runtime):
    """torch.cuda's part, played by its CPU device: all tensors are on one CUDA device."""

    def __init__(self) -> None:
        self.device = 0
        self.used: list[int] = []
        self.recorded: list[int] = []

    def usable(self) -> bool:
        return True

    def index(self, x: torch.Tensor) -> int | None:
        return self.device if x.device.type == "cpu" else None

    def place(self, device: int) -> torch.device:
        return torch.device("cpu")

    def current_device(self) -> int:
        return 1

    def current_stream(self, device: int) -> int:
        return STREAM

    def using(self, device: int, stream: int) -> AbstractContextManager[Any]:
        self.used.append(stream)
        return nullcontext()

    def record(self, x: torch.Tensor, device: int, stream: int) -> None:
        if stream != STREAM:
            self.recorded.append(stream)
