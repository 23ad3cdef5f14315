"""The runtimes that `qkernels bench llama` compares, through one interface.

llama.cpp is called through the C functions that `llama-cpp-python` wraps, as its own programs call
them, so that no Python of that package is measured: its greedy sampler chooses the tokens too.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import qkernels as qk
from qkernels import _core
from qkernels.llama import Model

BATCH = 512


class Runtime(Protocol):
    """A loaded model with an empty sequence, on a fixed number of threads."""

    name: str

    def read(self, tokens: Sequence[int]) -> None:
        """Begin a new sequence with these tokens, and compute the logits of the last."""

    def rewind(self, position: int) -> None:
        """Forget the tokens from `position` on, but not the latest logits."""

    def step(self, count: int) -> None:
        """Choose the likeliest token by the latest logits and append it, so many times."""

    def close(self) -> None:
        """Give the memory back."""


class Ours:
    """qkernels' own."""

    def __init__(self, path: Path, threads: int, context: int, act: str) -> None:
        """Load a model.

        Raises:
            ValueError, OSError: as `Model`.
        """
        self.name = f"qkernels {act}"
        self.model = Model(path, threads=threads, max_context=context, act=act)
        self._session = self.model._opened()
        self._sampler = _core.Sampler(0.0, 0, 1.0, 0.0, 1.0, 0, 0)

    def read(self, tokens: Sequence[int]) -> None:
        """See `Runtime`."""
        core = self._session.core
        core.truncate(0)
        for at in range(0, len(tokens), core.batch):
            core.forward(list(tokens[at : at + core.batch]), "last")

    def rewind(self, position: int) -> None:
        """See `Runtime`."""
        self._session.core.truncate(position)

    def step(self, count: int) -> None:
        """See `Runtime`."""
        core = self._session.core
        token = core.sample(self._sampler)
        for _ in range(count):
            token = core.step(token, self._sampler)

    def bytes_of_a_step(self, position: int) -> int:
        """Of weights, keys and values that a token at a position reads."""
        core = self._session.core
        return core.weight_bytes + core.cache_bytes(position)

    def close(self) -> None:
        """See `Runtime`."""
        self.model.close()


class LlamaCpp:
    """llama.cpp's, with its defaults: a cache of float16, and flash attention where it chooses."""

    name = "llama.cpp"

    def __init__(self, path: Path, threads: int, context: int) -> None:
        """Load a model.

        Raises:
            RuntimeError: llama.cpp does not take it.
        """
        self._library = library = _llama_cpp()
        library.llama_backend_init()
        model_options = library.llama_model_default_params()
        self._model = library.llama_model_load_from_file(str(path).encode(), model_options)
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        options = library.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = context, BATCH, BATCH
        options.n_threads = options.n_threads_batch = threads
        self._context = library.llama_init_from_model(self._model, options)
        if not self._context:
            library.llama_model_free(self._model)
            raise RuntimeError(f"llama.cpp makes no context of {context} tokens for {path}")
        self._sampler = library.llama_sampler_init_greedy()

    def read(self, tokens: Sequence[int]) -> None:
        """See `Runtime`."""
        library = self._library
        library.llama_memory_clear(library.llama_get_memory(self._context), False)
        for at in range(0, len(tokens), BATCH):
            self._decode(tokens[at : at + BATCH])
        library.llama_synchronize(self._context)

    def rewind(self, position: int) -> None:
        """See `Runtime`."""
        memory = self._library.llama_get_memory(self._context)
        self._library.llama_memory_seq_rm(memory, 0, position, -1)

    def step(self, count: int) -> None:
        """See `Runtime`."""
        for _ in range(count):
            token = self._library.llama_sampler_sample(self._sampler, self._context, -1)
            self._decode([token])
        self._library.llama_synchronize(self._context)

    def close(self) -> None:
        """See `Runtime`."""
        self._library.llama_sampler_free(self._sampler)
        self._library.llama_free(self._context)
        self._library.llama_model_free(self._model)

    def _decode(self, tokens: Sequence[int]) -> None:
        array = (self._library.llama_token * len(tokens))(*tokens)
        batch = self._library.llama_batch_get_one(array, len(tokens))
        if self._library.llama_decode(self._context, batch) != 0:
            raise RuntimeError(f"llama.cpp fails on a batch of {len(tokens)} tokens")


_silent: list[Any] = []


def has_llama_cpp() -> bool:
    """Whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


def _llama_cpp() -> Any:
    library: Any = importlib.import_module("llama_cpp.llama_cpp")
    if not _silent:
        _silent.append(library.llama_log_callback(lambda level, text, data: None))
        library.llama_log_set(_silent[0], ctypes.c_void_p(0))
    return library


# What a fresh process runs for the time from a path to the first token: imports come before the
# clock, and the prompt is a text that both tokenise.
START_OURS = """
import sys, time
from pathlib import Path
from qkernels.llama import Model
import qkernels, tokenizers
begin = time.perf_counter()
context = int(sys.argv[3])
model = Model(Path(sys.argv[1]), threads=int(sys.argv[2]), max_context=context, act=sys.argv[5])
next(model.generate(sys.argv[4], 1))
print(time.perf_counter() - begin)
"""
START_LLAMA_CPP = """
import sys, time
import llama_cpp
begin = time.perf_counter()
threads = int(sys.argv[2])
model = llama_cpp.Llama(
    sys.argv[1], n_threads=threads, n_threads_batch=threads, n_ctx=int(sys.argv[3]), verbose=False
)
next(model.generate(model.tokenize(sys.argv[4].encode(), special=True), temp=0.0))
print(time.perf_counter() - begin)
"""


def describe(path: Path) -> dict[str, Any]:
    """What is in a file: its size, its architecture and its matrices by format."""
    from collections import Counter

    with qk.load_gguf(path) as file:
        matrices = [w for name in file if isinstance(w := file[name], qk.QTensor)]
        return {
            "path": str(path),
            "file_bytes": path.stat().st_size,
            "architecture": file.metadata.get("general.architecture"),
            "name": file.metadata.get("general.name"),
            "formats": dict(Counter(w.fmt for w in matrices).most_common()),
        }
