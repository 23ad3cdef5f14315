"""Where the weights and inputs of `qkernels gate-train` come from: files, a model, or chance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

import qkernels as qk

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NPY = b"\x93NUMPY"


@dataclass(frozen=True)
class Source:
    """Where weights and inputs come from."""

    n: int | None
    k: int | None
    samples: int | None
    weights: Path | None
    tensor: str | None
    activations: Path | None
    prompts: list[str]
    seed: int

    def check(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            typer.BadParameter: they do.
        """
        if self.weights is not None and (self.n is not None or self.k is not None):
            raise typer.BadParameter("--n and --k are for random weights, not for --weights")
        if self.tensor is not None and self.weights is None:
            raise typer.BadParameter("--tensor is of a file: give --weights FILE too")
        if self.prompts and self.tensor is None:
            raise typer.BadParameter("--prompt needs a model: --weights FILE --tensor NAME")
        if self.prompts and self.activations is not None:
            raise typer.BadParameter("--prompt and --activations both say what the inputs are")

    @property
    def is_random(self) -> bool:
        """Whether chance has a part in weights or inputs."""
        return self.weights is None or (self.activations is None and not self.prompts)

    @contextmanager
    def open(self) -> Iterator[tuple[qk.QTensor | NDArray[Any], NDArray[Any]]]:
        """Weights, which may be views of a file that is open meanwhile, and inputs."""
        rng = np.random.default_rng(self.seed)
        if self.weights is None:
            n, k = self.n or 256, self.k or 1024
            dense = rng.standard_normal((n, k), np.float32) / np.float32(np.sqrt(k))
            yield dense, self._inputs(rng, k, None)
        elif _is_npy(self.weights):
            if self.tensor is not None:
                raise ValueError(f"{self.weights} is an array, which has no tensor {self.tensor!r}")
            array = _load(self.weights)
            yield array, self._inputs(rng, array.shape[-1] if array.ndim else 0, None)
        else:
            if self.tensor is None:
                raise ValueError(f"which tensor of {self.weights}? give --tensor NAME")
            with qk.load_gguf(self.weights) as file:
                found = _matrix(file, self.tensor)
                yield found, self._inputs(rng, int(found.shape[-1]), file)

    def _inputs(self, rng: np.random.Generator, k: int, file: qk.GGUFFile | None) -> NDArray[Any]:
        if self.activations is not None:
            array = _load(self.activations)
            return self._first(np.atleast_2d(array), str(self.activations))
        if self.prompts and file is not None and self.tensor is not None:
            captured = qk.gates.capture(file, self.prompts, self.tensor)[self.tensor]
            return self._first(captured, "--prompt")
        return rng.standard_normal((self.samples or 4, k), np.float32)

    def _first(self, inputs: NDArray[Any], origin: str) -> NDArray[Any]:
        """As many of the inputs as are asked for."""
        if self.samples is not None and self.samples > len(inputs):
            raise ValueError(f"--samples {self.samples}: {origin} has {len(inputs)} of them")
        return inputs[: self.samples]


def _load(path: Path) -> NDArray[Any]:
    """An array that is mapped, so that no more is read than the file has.

    Raises:
        OSError: there is no such file.
        ValueError: it is no .npy file, or holds objects.
    """
    if not _is_npy(path):
        raise ValueError(f"{path} is no .npy file")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from None
    return array


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_NPY)) == _NPY


def _matrix(file: qk.GGUFFile, name: str) -> qk.QTensor | NDArray[Any]:
    """A matrix of a file.

    Raises:
        ValueError: there is no such tensor, or it is none.
    """
    try:
        found = file.unpacked(name)
    except KeyError as error:
        raise ValueError(error.args[0]) from None
    if len(found.shape) != 2:
        raise ValueError(f"{name} has shape {tuple(found.shape)}; gates take a matrix (n, k)")
    return found
