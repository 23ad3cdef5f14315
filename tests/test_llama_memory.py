"""What a model takes of memory beside its file, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from weights import SANITIZED

ALLOWANCE = 16 << 20

PROGRAM = """
import json, sys
import jinja2, numpy, tokenizers
import qkernels as qk
from qkernels.llama import Model, Tokenizer
from qkernels.demo.measure import resident_bytes

path = sys.argv[1]
with qk.load_gguf(path) as file:
    tokenizer = Tokenizer.from_metadata(file.metadata)
Tokenizer._read = classmethod(lambda cls, metadata: tokenizer)
before = resident_bytes()
model = Model(path, pack=False, threads=2)
loaded = resident_bytes()
text = "".join(model.generate("The capital of France is", 16))
print(json.dumps([loaded - before, resident_bytes() - before, model.context, text]))
"""


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_unpacked_model_takes_the_file_and_16_mb_however_long_its_context_may_be(
    model_path: Path,
) -> None:
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model_path)], check=True, capture_output=True, text=True
    ).stdout
    loaded, used, context, text = json.loads(output)
    print(f"{loaded / 1e6:.1f} MB when loaded, {used / 1e6:.1f} MB after 16 tokens")
    assert "Paris" in text
    assert context == 8192
    limit = model_path.stat().st_size + ALLOWANCE
    assert loaded <= limit
    if not SANITIZED:  # shadow memory would be counted too
        assert used <= limit
