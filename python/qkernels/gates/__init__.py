"""Which columns of a matrix does its output need? One gate for each block of them, trained.

    found = qkernels.gates.train(w, x, lr="auto", steps=200)   # weights (n, k), inputs (samples, k)
    y = qkernels.gated_gemv(w, x[0], gates=found)              # without the blocks that fell

`train` minimises what the gates change of the output, plus a price for every gate; `path` does so
for many prices at once; `capture` collects the inputs that a model's matrices meet. Importing this
imports neither torch nor a model.
"""

from qkernels.gates.capture import capture
from qkernels.gates.quadratic import Quadratic
from qkernels.gates.result import GatePath, GateResult, History
from qkernels.gates.training import path, train

__all__ = [
    "GatePath",
    "GateResult",
    "History",
    "Quadratic",
    "capture",
    "path",
    "train",
]
