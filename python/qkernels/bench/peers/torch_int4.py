"""torch's product with packed 4-bit weights, which its int4 weight-only models run on CPUs."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack

import numpy as np

from qkernels._measure.method import Candidate, Rotation
from qkernels.bench.peers.base import UnsuitedError
from qkernels.bench.peers.requantised import GROUP, check, requantise
from qkernels.bench.problem import Problem

ROWS = 16  # the operator's layout takes so many at a time
OPERATORS = ("_convert_weight_to_int4pack_for_cpu", "_weight_int4pack_mm_for_cpu")


class TorchInt4:
    """bfloat16 x and result. With float32 x torch falls back to a loop fifty times as slow."""

    name = f"torch int4 g{GROUP}"

    def absence(self) -> str | None:
        """Absent where torch is not installed, or lacks the operators."""
        if importlib.util.find_spec("torch") is None:
            return "torch is not installed"
        import torch

        missing = [name for name in OPERATORS if not hasattr(torch.ops.aten, name)]
        return f"torch {torch.__version__} has no aten::{missing[0]}" if missing else None

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate.

        Raises:
            UnsuitedError: the format does not have 4 bits, or the shape does not suit the operator.
        """
        import torch

        check(problem, (4,))
        if problem.n % ROWS != 0:
            raise UnsuitedError(f"n={problem.n} is no multiple of {ROWS}")
        resources.callback(torch.set_num_threads, torch.get_num_threads())
        torch.set_num_threads(threads)
        resources.enter_context(torch.inference_mode())
        quants, scales = requantise(problem, bits=4)
        pack, product = (getattr(torch.ops.aten, name) for name in OPERATORS)
        wide = torch.from_numpy(quants.reshape(problem.n, problem.k).astype(np.int32))
        packed = pack(wide, 1)
        # (k / group, n, 2): a scale, and what is added for a minimum: nothing here.
        pairs = torch.from_numpy(np.stack([scales.T, np.zeros_like(scales.T)], -1).copy())
        pairs = pairs.to(torch.bfloat16)
        copies = [
            (
                torch.from_numpy(place[: packed.nbytes]).view(packed.shape).copy_(packed),
                torch.from_numpy(place[packed.nbytes :])
                .view(torch.bfloat16)
                .view(pairs.shape)
                .copy_(pairs),
            )
            for place in problem.places(packed.nbytes + pairs.nbytes)
        ]
        rotation = Rotation(copies)
        x = torch.from_numpy(problem.x.reshape(problem.m, problem.k)).to(torch.bfloat16)

        def call() -> torch.Tensor:
            weights, constants = rotation.next()
            y: torch.Tensor = product(x, weights, GROUP, constants)
            return y

        return [Candidate(self.name, call, array=lambda y: np.asarray(y.float().numpy()))]
