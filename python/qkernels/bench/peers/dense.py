"""Peers that multiply by dense weights: decoded for each product, or once and for all."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack

import numpy as np

import qkernels as qk
from qkernels._measure.method import Array, Candidate, Rotation
from qkernels.bench.peers.base import UnsuitedError
from qkernels.bench.problem import Problem


def _limit_blas(threads: int, resources: ExitStack) -> None:
    """Hold NumPy's BLAS to `threads`, where threadpoolctl is there to do it."""
    if importlib.util.find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_limits

        resources.enter_context(threadpool_limits(limits=threads, user_api="blas"))


class DecodeNumpy:
    """`qkernels.dequantize` into a matrix that is kept, then NumPy."""

    name = "decode + NumPy"

    def absence(self) -> str | None:
        """Never absent."""
        return None

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate."""
        _limit_blas(threads, resources)
        dense = np.empty((problem.n, problem.k), np.float32)
        rotation, x = problem.rotation, problem.x

        def product() -> Array:
            qk.dequantize(rotation.next().tensor, out=dense, threads=threads)
            return np.asarray(x @ dense.T)

        return [Candidate(self.name, product)]


class GgufNumpy:
    """The `gguf` package's dequantize, then NumPy."""

    name = "gguf + NumPy"

    def absence(self) -> str | None:
        """Never absent: the package is required."""
        return None

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate.

        Raises:
            UnsuitedError: the package cannot decode the format.
        """
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
        from gguf.quants import dequantize

        kind = GGMLQuantizationType.__members__.get(problem.fmt.upper())
        rotation, x, k = problem.rotation, problem.x, problem.k
        if kind is None or problem.raw.shape[1] % GGML_QUANT_SIZES[kind][1] != 0:
            raise UnsuitedError(f"the gguf package has no blocks of {problem.fmt}")
        try:
            dequantize(problem.raw[:1], kind)
        except NotImplementedError:
            raise UnsuitedError(f"the gguf package does not decode {problem.fmt}") from None
        _limit_blas(threads, resources)

        def product() -> Array:
            return np.asarray(x @ dequantize(rotation.next().raw, kind)[:, :k].T)

        return [Candidate(self.name, product)]


class TorchDense:
    """torch with weights that were decoded once; x and the result have the weights' dtype."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self.name = f"torch {dtype}"

    def absence(self) -> str | None:
        """Absent where torch is not installed."""
        return None if importlib.util.find_spec("torch") is not None else "torch is not installed"

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate."""
        import torch

        dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[self._dtype]
        # All torch candidates of a problem use the same number of threads.
        resources.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        resources.enter_context(torch.inference_mode())
        one = torch.from_numpy(qk.dequantize(problem.rotation.copies[0].tensor)).to(dtype)
        copies = [
            torch.from_numpy(place).view(dtype).view(one.shape).copy_(one)
            for place in problem.places(one.nbytes)
        ]
        rotation = Rotation(copies)
        x = torch.from_numpy(problem.x).to(dtype)
        return [
            Candidate(
                self.name,
                lambda: torch.nn.functional.linear(x, rotation.next()),
                array=lambda y: np.asarray(y.float().numpy()),
            )
        ]
