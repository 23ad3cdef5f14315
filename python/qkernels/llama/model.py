"""Language models from GGUF files: a prompt in, text out, piece by piece."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels import _core, _threads
from qkernels._packing import pack_all
from qkernels.llama import chat
from qkernels.llama.config import LlamaConfig
from qkernels.llama.options import (
    Sampling,
    checked_context,
    checked_seed,
    checked_stops,
    find_file,
)
from qkernels.llama.session import REPEAT_LAST, Session
from qkernels.llama.stats import Stats
from qkernels.llama.stop import before_stop
from qkernels.llama.tensors import Tensors, collect
from qkernels.llama.tokenizer import Tokenizer
from qkernels.llama.turns import Turns

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Unpack


class Model:
    """A language model and the sequence that it is working on.

    Any thread may call a model, and many models may live side by side. A model has one sequence, so
    it does one thing at a time: from the first piece that is taken from the iterator of `generate`
    or `chat` to its end, or until it is closed or dropped, the model is that iterator's. Calls from
    other threads wait until then, and a call from the thread that has it raises RuntimeError. An
    iterator that was interrupted or dropped leaves nothing behind.

    Attributes:
        path: of the file.
        config: sizes and constants.
        tokenizer: the file's.
        stats: of the latest generation, up to its latest token.
    """

    path: str | os.PathLike[str]
    config: LlamaConfig
    tokenizer: Tokenizer
    stats: Stats

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pack: bool = True,
        cache_dtype: str = "float16",
        max_context: int | None = None,
        act: str = "int16",
        threads: int | None = None,
    ) -> None:
        """Load a model of the architecture llama, qwen2 or qwen3.

        Args:
            path: a GGUF file, or the word "smollm2" for SmolLM2-135M-Instruct, which is fetched
                once (98 MB). The file must not change while the model is in use.
            pack: copy the weights into the layout of the fastest kernels, which takes as much
                memory again; otherwise they are read as they lie in the file.
            cache_dtype: "float16" or "float32", for keys and values.
            max_context: the most tokens of a sequence; by default what the model was made for.
            act: how activations enter products: "int16", "float32" or "int8".
            threads: 1 to 256, instead of the default.

        Raises:
            OSError: the file does not exist or cannot be read.
            qkernels.models.ModelUnavailable: "smollm2" is not here and cannot be fetched.
            ValueError: the file is no model that is supported, or an argument is out of range; the
                message names what is wrong.
            MemoryError: the weights or the cache do not fit.
        """
        self._threads = _threads.resolve(threads)
        self.path = find_file(path)
        # A vocabulary takes Python as long as the matrices of a small model take the core.
        with qk.load_gguf(self.path) as file, ThreadPoolExecutor(1) as aside:
            self.config = LlamaConfig.from_metadata(file.metadata)
            tensors = collect(file, self.config)
            context = checked_context(self.config, max_context)
            tokenizer = aside.submit(Tokenizer.from_metadata, file.metadata)
            if pack:
                tensors = _packed(tensors, threads)
            self.tokenizer = tokenizer.result()
            self._template_source = {chat.KEY: file.metadata.get(chat.KEY)}
        if len(self.tokenizer) != tensors.vocabulary:
            raise ValueError(
                f"tokenizer.ggml.tokens has {len(self.tokenizer)} tokens,"
                f" token_embd.weight {tensors.vocabulary} rows"
            )
        core = _core.Llama(
            asdict(self.config), tensors.core(), cache_dtype, context, act, self._threads
        )
        self._session: Session | None = Session(core)
        self._template: chat.ChatTemplate | None = None
        self._turns = Turns()
        self.stats = self._new_stats()

    @property
    def context(self) -> int:
        """The most tokens of a sequence, prompt and continuation together."""
        return self._opened().core.context

    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Score what follows each token of a new sequence.

        Args:
            tokens: m ids.

        Returns:
            (m, vocabulary), float32.

        Raises:
            ValueError: no tokens, one outside the vocabulary, more than the context, or the model
                is closed.
            RuntimeError: this thread is in the middle of a generation.
        """
        session = self._opened()
        ids = self._checked(tokens)
        with self._turns.hold():
            pieces, _ = session.read(ids, "all")
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def generate(
        self,
        prompt: str | Sequence[int],
        max_tokens: int = 128,
        *,
        temperature: float = 0.0,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Iterator[str]:
        """Continue a text.

        Arguments are checked here; the model works when pieces are taken. It stops at its own end
        of text or turn, at a stop string, after `max_tokens`, or where the context is full. The
        same arguments and seed give the same text.

        Args:
            prompt: the text, or ids; in a text, spellings of special tokens are these tokens.
            max_tokens: the most that are generated.
            temperature: 0 takes the most likely token; below 1 likely ones become likelier still.
            top_k: chooses among so many of the likeliest; 0 among all.
            top_p: chooses among the likeliest that together have this probability.
            min_p: chooses among those with this share of the likeliest's probability.
            repetition_penalty: above 1 makes what was among the last 64 tokens less likely.
            seed: for the choice; by default another one each time.
            stop: strings that end the text, and are no part of it.

        Returns:
            An iterator of pieces of text; each ends at a whole character.

        Raises:
            ValueError: the prompt is empty, has an id outside the vocabulary or more tokens than
                the context, an option is out of range, or the model is closed. From the iterator:
                the logits hold NaN, so some weights are not finite.
            TypeError: `stop` is a single string.
            RuntimeError: from the iterator, where this thread is in the middle of another one.
        """
        session = self._opened()
        ids = self._prompt_ids(prompt)
        count = operator.index(max_tokens)
        if count < 0:
            raise ValueError(f"max_tokens={count} is below 0")
        sampler = _core.Sampler(
            temperature,
            top_k,
            top_p,
            min_p,
            repetition_penalty,
            REPEAT_LAST,
            checked_seed(seed),
        )
        return self._pieces(session, ids, count, sampler, checked_stops(stop))

    def chat(
        self,
        messages: Sequence[chat.Message],
        max_tokens: int = 128,
        **options: Unpack[Sampling],
    ) -> Iterator[str]:
        """Answer a conversation, in the form that the file's chat template gives it.

        Args:
            messages: in order, each with "role" (such as "system", "user", "assistant") and
                "content".
            max_tokens: the most that are generated.
            options: as for `generate`.

        Returns:
            An iterator of pieces of the answer.

        Raises:
            ValueError: the file has no chat template, or one that refuses the messages; and as
                `generate`.
            TypeError, RuntimeError: as `generate`.
        """
        if self._template is None:
            self._template = chat.ChatTemplate.from_metadata(self._template_source, self.tokenizer)
        text = self._template.render(messages)
        ids = self.tokenizer.encode(text, bos=False, eos=False)
        # Some templates write BOS, some leave it to the tokenizer.
        bos = self.tokenizer.bos_id
        if self.tokenizer.add_bos and bos is not None and ids[:1] != [bos]:
            ids = [bos, *ids]
        return self.generate(ids, max_tokens, **options)

    def close(self) -> None:
        """Give the memory back. Calls from now on raise ValueError, iterators at their next piece.

        Closing again does nothing.
        """
        self._session = None

    def __enter__(self) -> Model:
        """Return the model itself."""
        self._opened()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the model."""
        self.close()

    def __repr__(self) -> str:
        """Architecture and sizes in one line."""
        c = self.config
        state = "closed" if self._session is None else f"context {self.context}"
        return f"Model({c.architecture}, {c.layers} layers of width {c.width}, {state})"

    def _opened(self) -> Session:
        if self._session is None:
            raise ValueError("the model is closed")
        return self._session

    def _new_stats(self) -> Stats:
        # Without a number of its own, a model computes on as many threads as its process.
        return Stats(threads=self._threads if self._threads > 0 else _core.threads())

    def _prompt_ids(self, prompt: str | Sequence[int]) -> list[int]:
        if not isinstance(prompt, str):
            return self._checked(prompt)
        if not prompt:
            raise ValueError("the prompt is empty")
        # An end after the prompt would leave nothing to continue.
        return self._checked(self.tokenizer.encode(prompt, eos=False))

    def _checked(self, tokens: Sequence[int]) -> list[int]:
        ids = [operator.index(token) for token in tokens]
        vocabulary, context = len(self.tokenizer), self.context
        if not ids:
            raise ValueError("there are no tokens")
        if len(ids) > context:
            raise ValueError(f"{len(ids)} tokens are more than the context of {context}")
        for token in ids:
            if not 0 <= token < vocabulary:
                raise ValueError(f"token id {token} is outside the vocabulary of {vocabulary}")
        return ids

    def _pieces(
        self,
        session: Session,
        prompt: list[int],
        max_tokens: int,
        sampler: _core.Sampler,
        stops: list[str],
    ) -> Iterator[str]:
        if max_tokens == 0:
            return
        with self._turns.hold():
            self.stats = stats = self._new_stats()
            ids = session.generate(prompt, max_tokens, sampler, self.tokenizer.eos_ids, stats)
            for piece in before_stop(self.tokenizer.stream(ids), stops):
                yield piece
                self._opened()


def _packed(tensors: Tensors, threads: int | None) -> Tensors:
    blocks = {n: w for n, w in tensors.matrices.items() if isinstance(w, qk.QTensor)}
    return Tensors({**pack_all(blocks, threads)}, tensors.vectors, tensors.head)
