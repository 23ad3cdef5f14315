"""Write tests/data/tokenizer_ids.json: what llama.cpp's tokenizers make of the tests' texts.

Needs `llama-cpp-python`, as `python -m pip install ".[bench]"` brings it.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from tokenizer_files import TEXTS, VOCABULARIES, write  # noqa: E402 (found through the line above)


def encode_all(path: Path) -> list[list[int]]:
    """The ids of every text by the vocabulary of a file."""
    library: Any = importlib.import_module("llama_cpp")
    llama = library.Llama(str(path), vocab_only=True, verbose=False)
    try:
        return [llama.tokenize(text.encode(), add_bos=True, special=True) for text in TEXTS]
    finally:
        llama.close()


def main() -> None:
    """Make the file anew."""
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: encode_all(write(Path(folder) / "vocabulary.gguf", metadata))
            for name, metadata in VOCABULARIES.items()
        }
    lines = [
        f" {json.dumps(name)}: [\n" + ",\n".join(f"  {json.dumps(ids)}" for ids in rows) + "\n ]"
        for name, rows in found.items()
    ]
    target = ROOT / "tests" / "data" / "tokenizer_ids.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
