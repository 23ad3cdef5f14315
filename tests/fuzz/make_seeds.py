"""Write seed corpora: the files of the reader's tests, and any bytes for the other targets.

python tests/fuzz/make_seeds.py DIRECTORY    writes DIRECTORY/reader/seeds, .../kernels/seeds ...
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gguf_unusual_files import UNUSUAL
from gguf_wrong_head import WRONG_HEADS
from gguf_wrong_tensors import FAULTY_TENSORS, WRONG_TENSORS

MOST_BYTES = 4096  # longer files only slow the target down
ANY_SEEDS, ANY_BYTES = 256, 700  # as much as an input can use, or more


def write(directory: Path, seeds: list[bytes]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for i, raw in enumerate(seeds):
        (directory / f"seed-{i:03}").write_bytes(raw)
    print(f"{len(seeds)} seeds in {directory}")


def reader_seeds() -> list[bytes]:
    files = [wrong.raw for wrong in (WRONG_HEADS | WRONG_TENSORS | FAULTY_TENSORS).values()]
    files += [unusual.raw for unusual in UNUSUAL.values()]
    return [raw for raw in files if len(raw) <= MOST_BYTES]


def any_seeds() -> list[bytes]:
    source = random.Random(0)
    return [source.randbytes(ANY_BYTES) for _ in range(ANY_SEEDS)]


if __name__ == "__main__":
    root = Path(sys.argv[1])
    write(root / "reader" / "seeds", reader_seeds())
    for name in ("kernels", "quantize", "cuda_pack"):
        write(root / name / "seeds", any_seeds())
