"""Files that `qkernels quantize` writes, opened and run by llama.cpp itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import qkernels as qk
from qkernels.bench.llama_peers import LlamaCpp, has_llama_cpp
from qkernels.demo.random_model import random_llama
from qkernels.files.file_types import FILE_TYPES
from qkernels.llama import Model
from qkernels.tools.quantize import quantize_file
from weights import relative_error

if TYPE_CHECKING:
    from pathlib import Path

NDArray = np.ndarray[Any, Any]

pytestmark = pytest.mark.skipif(
    not has_llama_cpp(), reason="needs llama-cpp-python, of the bench extra"
)

TOKENS = [1, 5, 9, 2, 7, 30, 11, 4]
# llama.cpp multiplies activations of 8 bits, which over the layers of a model comes to some
# hundredths of the logits. With blocks that it reads otherwise they would be off by their own size.
BOUND = 0.15


def logits_of(path: Path, tokens: Sequence[int], vocabulary: int) -> NDArray:
    """Those of the last token, by llama.cpp."""
    peer = LlamaCpp(path, threads=1, context=64)
    try:
        peer.read(tokens)
        found = peer._library.llama_get_logits_ith(peer._context, -1)
        return np.ctypeslib.as_array(found, (vocabulary,)).copy()
    finally:
        peer.close()


@pytest.mark.parametrize("width", [256, 96])
@pytest.mark.parametrize("fmt", sorted(FILE_TYPES))
def test_llama_cpp_has_the_logits_of_the_file(tmp_path: Path, fmt: str, width: int) -> None:
    """Rows of 256 fit every format; those of 96 take the fallbacks."""
    source = random_llama(
        tmp_path / "f32.gguf", fmt="f32", embedding_fmt="f32", width=width, hidden=2 * width
    )
    with qk.load_gguf(source) as file:
        quantize_file(file, tmp_path / "q.gguf", fmt)
    with Model(tmp_path / "q.gguf", threads=1, act="float32") as model:
        ours = model.logits(TOKENS)[-1]
    theirs = logits_of(tmp_path / "q.gguf", TOKENS, ours.size)
    assert relative_error(theirs, ours.astype(np.float64)) < BOUND


@pytest.mark.model
@pytest.mark.parametrize("fmt", ["q4_k", "q2_k"])
def test_llama_cpp_runs_the_real_model_as_quantised(
    tmp_path: Path, model_path: Path, fmt: str
) -> None:
    with qk.load_gguf(model_path) as file:
        quantize_file(file, tmp_path / "q.gguf", fmt)
    with Model(tmp_path / "q.gguf", threads=2, act="float32") as model:
        tokens = model.tokenizer.encode("The capital of France is")
        ours = model.logits(tokens)[-1]
    theirs = logits_of(tmp_path / "q.gguf", tokens, ours.size)
    assert relative_error(theirs, ours.astype(np.float64)) < BOUND
    assert int(theirs.argmax()) == int(ours.argmax())
