"""Making a model of a file: what is read of it, and the core's model over that."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import qkernels as qk
from qkernels import _core
from qkernels.llama import chat
from qkernels.llama.config import LlamaConfig
from qkernels.llama.options import checked_context, fitting_context, no_room
from qkernels.llama.room import cache_bytes
from qkernels.llama.tensors import Tensors, collect
from qkernels.llama.tokenizer import Tokenizer
from qkernels.weights.packing import pack_all


@dataclass(frozen=True)
class Loaded:
    """What is read of a file, which need not stay open, unless `tensors` are views of it.

    Attributes:
        templates: the file's chat templates by key.
        context: the most tokens of a sequence, where they are asked for.
        notes: what is guessed, or left out, where the file is at fault; a sentence each.
    """

    config: LlamaConfig
    tensors: Tensors
    tokenizer: Tokenizer
    templates: dict[str, object]
    context: int | None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        *,
        pack: bool,
        max_context: int | None,
        threads: int | None,
    ) -> Loaded:
        """Read a file; see `Model` for the arguments and what is raised."""
        notes: list[str] = []
        # A vocabulary takes Python as long as the matrices of a small model take the core.
        with qk.load_gguf(path) as file, ThreadPoolExecutor(1) as aside:
            config = LlamaConfig._read(file.metadata, notes)
            tensors = collect(file, config)
            context = checked_context(config, max_context)
            reading = aside.submit(Tokenizer._read, file.metadata)
            if pack:
                tensors = _packed(tensors, threads)
            tokenizer = reading.result()
            keys = (key for key in file.metadata if key.startswith(chat.KEY))
            templates = {key: file.metadata[key] for key in keys}
        if len(tokenizer) != tensors.vocabulary:
            raise ValueError(
                f"tokenizer.ggml.tokens has {len(tokenizer)} tokens,"
                f" token_embd.weight {tensors.vocabulary} rows"
            )
        return cls(config, tensors, tokenizer, templates, context, [*notes, *tokenizer.notes])

    def core(self, cache_dtype: str, act: str, threads: int) -> _core.Llama:
        """The core's model; see `Model` for the arguments and what is raised.

        A context that is cut is noted.
        """
        context = self.context
        if context is None:
            context = fitting_context(self.config, cache_dtype, self.notes)
        if cache_bytes(self.config, cache_dtype, context) > sys.maxsize:
            raise no_room(self.config, cache_dtype, context)
        sizes = asdict(self.config)
        try:
            return _core.Llama(sizes, self.tensors.core(), cache_dtype, context, act, threads)
        except MemoryError:
            raise no_room(self.config, cache_dtype, context) from None


def _packed(tensors: Tensors, threads: int | None) -> Tensors:
    blocks = {n: w for n, w in tensors.matrices.items() if isinstance(w, qk.QTensor)}
    return Tensors({**pack_all(blocks, threads)}, tensors.vectors, tensors.head)
