"""Write the files that the reader's tests are made of as a seed corpus for fuzz_reader.

python tests/fuzz/make_seeds.py DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gguf_unusual_files import UNUSUAL
from gguf_wrong_head import WRONG_HEADS
from gguf_wrong_tensors import WRONG_TENSORS

MOST_BYTES = 4096  # longer ones only slow the target down


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    files = [wrong.raw for wrong in (WRONG_HEADS | WRONG_TENSORS).values()]
    files += [unusual.raw for unusual in UNUSUAL.values()]
    seeds = [raw for raw in files if len(raw) <= MOST_BYTES]
    for i, raw in enumerate(seeds):
        (directory / f"seed-{i:03}").write_bytes(raw)
    print(f"{len(seeds)} seeds of {len(files)} files in {directory}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
