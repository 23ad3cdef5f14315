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

from qkernels.llama.byte_level import PRE_TOKENIZERS  # noqa: E402 (found through the line above)
from tokenizer_files import (  # noqa: E402
    SPECIAL_TEXTS,
    SPECIALS,
    SPLITS,
    TEXTS,
    VOCABULARIES,
    byte_level,
    write,
)


class Peer:
    """llama.cpp's tokenizer for some metadata."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self._library: Any = importlib.import_module("llama_cpp")
        with tempfile.TemporaryDirectory() as folder:
            path = write(Path(folder) / "vocabulary.gguf", metadata)
            self._llama = self._library.Llama(str(path), vocab_only=True, verbose=False)

    def encode(
        self, texts: list[str], *, add: bool = True, special: bool = True
    ) -> list[list[int]]:
        """The ids of every text, with BOS and EOS where `add` is set and the file says so."""
        return [self._llama.tokenize(t.encode(), add_bos=add, special=special) for t in texts]

    def ends(self) -> list[int]:
        """The tokens that end a generation."""
        vocabulary = self._llama._model.vocab
        count = self._library.llama_vocab_n_tokens(vocabulary)
        return [i for i in range(count) if self._library.llama_vocab_is_eog(vocabulary, i)]


def alike() -> dict[str, list[Any]]:
    """For each other pre-tokenizer, the one that splits as it does, and whether BOS is added."""
    known = {pre: Peer(byte_level(pre)).encode(TEXTS, add=False) for pre in SPLITS}
    found: dict[str, list[Any]] = {}
    for pre in sorted(PRE_TOKENIZERS.keys() - known.keys()):
        # Some kinds are to have a separator.
        peer = Peer({**byte_level(pre), "tokenizer.ggml.seperator_token_id": 1})
        ids = peer.encode(TEXTS, add=False)
        base = next(name for name, expected in known.items() if ids == expected)
        found[pre] = [base, peer.encode(["a"]) != peer.encode(["a"], add=False)]
    return found


def rows(values: list[Any]) -> str:
    """A list, a value a line."""
    return "[\n" + ",\n".join(f"  {json.dumps(value)}" for value in values) + "\n ]"


def main() -> None:
    """Make the file anew."""
    found = {name: rows(Peer(v).encode(TEXTS)) for name, v in VOCABULARIES.items()}
    for name, metadata in SPECIALS.items():
        peer = Peer(metadata)
        parsed = [peer.encode(SPECIAL_TEXTS, add=False, special=s) for s in (True, False)]
        found[name] = rows([*map(list, zip(*parsed, strict=True)), peer.ends()])
    names = (f"  {json.dumps(pre)}: {json.dumps(how)}" for pre, how in alike().items())
    found["alike"] = "{\n" + ",\n".join(names) + "\n }"
    target = ROOT / "tests" / "data" / "tokenizer_ids.json"
    target.parent.mkdir(exist_ok=True)
    lines = [f" {json.dumps(name)}: {text}" for name, text in found.items()]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
