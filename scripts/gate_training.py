"""Time gate training beside the direct loop: two products with the whole matrix a step, by BLAS.

    python scripts/gate_training.py [--n 2048 --k 8192 --samples 4 --block-k 32 --steps 50]

Prints a table in Markdown: medians of alternating turns (`qkernels._measure.method`), on random
weights and inputs. The direct loop is the one that the tests compare gates with.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import qkernels as qk
from direct_gates import direct_gates
from qkernels._measure import MIN_ROUNDS
from qkernels._measure.method import Candidate, Timing, measure
from qkernels.gates import Quadratic, train

L1 = 0.3


def arguments() -> argparse.Namespace:
    """The sizes that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in (("n", 2048), ("k", 8192), ("samples", 4), ("block-k", 32), ("steps", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def timings(options: argparse.Namespace) -> tuple[dict[str, Timing], float]:
    """Times of both ways, set-up and steps, and the largest difference between their gates."""
    n, k, samples = options.n, options.k, options.samples
    block_k, steps = options.block_k, options.steps
    rng = np.random.default_rng(0)
    w = rng.standard_normal((n, k), np.float32) / np.float32(np.sqrt(k))
    x = rng.standard_normal((samples, k), np.float32)
    lr = 1 / Quadratic.of(w, x, block_k=block_k).curvature

    def direct() -> np.ndarray:
        return direct_gates(w, x, block_k, steps, lr, L1)[0]

    def ours(count: int) -> np.ndarray:
        found = train(w, x, block_k=block_k, steps=count, lr=lr, l1=L1, normalize=False)
        return found.gates

    found = measure(
        [
            Candidate("direct", direct),
            Candidate("whole", lambda: ours(steps)),
            Candidate("set-up", lambda: ours(0)),
            # Steps are too short beside the set-up to be told from it, unless there are many.
            Candidate("more steps", lambda: ours(100 * steps)),
        ],
        MIN_ROUNDS,
    )
    return found, float(np.abs(direct() - ours(steps)).max())


def main() -> None:
    """Measure and print."""
    options = arguments()
    found, difference = timings(options)
    direct, whole, setup = (found[name].median for name in ("direct", "whole", "set-up"))
    step = (found["more steps"].median - setup) / (100 * options.steps)
    print(f"| n={options.n}, k={options.k}, {options.samples} samples | direct | Gram | ratio |")
    print("|---|--:|--:|--:|")
    print(f"| set-up | | {1e3 * setup:.1f} ms | |")
    each = direct / options.steps
    print(f"| a step | {1e3 * each:.2f} ms | {1e3 * step:.4f} ms | {each / step:.0f} |")
    whole_ratio = direct / whole
    print(
        f"| {options.steps} steps in all | {1e3 * direct:.0f} ms | {1e3 * whole:.1f} ms"
        f" | {whole_ratio:.1f} |"
    )
    print(f"\nLargest difference of a gate: {difference:.1e}. {qk.info()['cpu']}.")


if __name__ == "__main__":
    main()
