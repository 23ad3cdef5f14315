"""Language models from GGUF files: a prompt in, text out, piece by piece."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qkernels import _core
from qkernels._base.threads import thread_count
from qkernels.llama import chat
from qkernels.llama.config import LlamaConfig
from qkernels.llama.inputs import Text, count_of, ids_of
from qkernels.llama.loading import Loaded
from qkernels.llama.lock import SequenceLock
from qkernels.llama.options import (
    Sampling,
    checked_cache,
    checked_sampling,
    checked_seed,
    checked_stops,
    find_file,
)
from qkernels.llama.prompts import chat_ids, checked_ids, prompt_ids
from qkernels.llama.session import REPEAT_LAST, Session
from qkernels.llama.stats import Stats
from qkernels.llama.stop import before_stop
from qkernels.llama.tokenizer import Tokenizer

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
            max_context: the most tokens of a sequence; by default what the model was made for, or,
                with a UserWarning, as many as fit half of the memory that is available.
            act: how activations enter products: "int16", "float32" or "int8".
            threads: 1 to 256, instead of the default.

        Raises:
            OSError: the file does not exist or cannot be read.
            qkernels.llama.models.ModelUnavailable: "smollm2" is not here and cannot be fetched.
            ValueError: the file is no model that is supported, or an argument is out of range; the
                message names what is wrong.
            MemoryError: the weights or the cache do not fit.

        What is guessed where the file is at fault is said by a UserWarning, see
        `Tokenizer.from_metadata` and `LlamaConfig.from_metadata`.
        """
        self._threads = thread_count(threads)
        checked_cache(cache_dtype)
        self._options = {
            **{"pack": pack, "cache_dtype": cache_dtype, "max_context": max_context},
            **{"act": act, "threads": threads},
        }
        self.path = find_file(path)
        self._file = os.path.abspath(self.path)
        loaded = Loaded.from_file(self.path, pack=pack, max_context=max_context, threads=threads)
        core = loaded.core(cache_dtype, act, self._threads)
        for note in loaded.notes:
            warnings.warn(note, stacklevel=2)
        self.config, self.tokenizer = loaded.config, loaded.tokenizer
        self._templates = loaded.templates
        self._session: Session | None = Session(core)
        self._template: chat.ChatTemplate | None = None
        self._lock = SequenceLock()
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
            TypeError: `tokens` are not integers.
            RuntimeError: this thread is in the middle of a generation.
        """
        session = self._opened()
        ids = self._checked(ids_of(tokens, "tokens"))
        with self._lock.hold():
            pieces, _ = session.read(ids, "all")
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def generate(
        self,
        prompt: Text | Sequence[int],
        max_tokens: int = 128,
        *,
        temperature: float = 0.0,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        bos: bool | None = None,
        parse_special: bool = True,
    ) -> Iterator[str]:
        """Continue a text.

        Arguments are checked here; the model works when pieces are taken. It stops at its own end
        of text or turn, at a stop string, after `max_tokens`, or where the context is full. The
        same arguments and seed give the same text.

        Args:
            prompt: the text, or UTF-8 bytes of it, or token ids, which are taken as they are.
            max_tokens: the most that are generated; 0 gives no piece, and computes nothing.
            temperature: 0 takes the most likely token, and then the seed and the next three options
                are not used; below 1 likely ones become likelier still.
            top_k: chooses among so many of the likeliest; 0 among all.
            top_p: chooses among the likeliest that together have this probability.
            min_p: chooses among those with this share of the likeliest's probability.
            repetition_penalty: above 1 makes what was among the last 64 tokens less likely.
            seed: for the choice; by default another one each time.
            stop: strings that end the text, and are no part of it.
            bos: whether a text's BOS comes first, by default as the file says. It comes once: where
                the text spells it itself, none is added, with a UserWarning.
            parse_special: whether the spellings of special tokens in a text are these tokens, or
                text like any other.

        Returns:
            An iterator of pieces of text; each ends at a whole character.

        Raises:
            ValueError: the prompt is empty (but for a BOS that is asked for), has an id outside the
                vocabulary or more tokens than the context, an option is out of range, `bos` or
                `parse_special` is given for token ids, or the model is closed. From the iterator:
                the logits hold NaN, so some weights are not finite.
            TypeError: the prompt is neither text nor integers, an option is no number, or `stop` is
                a single string.
            RuntimeError: from the iterator, where this thread is in the middle of another one.
        """
        session = self._opened()
        ids = self._prompt_ids(prompt, bos, parse_special)
        count = count_of(max_tokens, "max_tokens")
        sampler = _core.Sampler(
            *checked_sampling(temperature, top_k, top_p, min_p, repetition_penalty),
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
                "content": text, UTF-8 bytes of it, or what else the template takes.
            max_tokens: the most that are generated.
            options: as for `generate`. `bos` is whether BOS comes first, once, whether the template
                writes it or not; False leaves it to the template. A spelling of a special token in
                a message, such as "<|im_end|>", is that token, as it is in llama.cpp: text of
                strangers may so end its turn and speak for others. `parse_special=False` leaves it
                text like any other; those that the template writes are tokens all the same.

        Returns:
            An iterator of pieces of the answer.

        Raises:
            ValueError: the file has no chat template, or one that refuses the messages; and as
                `generate`.
            TypeError, RuntimeError: as `generate`; TypeError also as `ChatTemplate.render`.
            ImportError: there is no Jinja of version 3.1.6 or later.
        """
        self._opened()
        if self._template is None:
            self._template = chat.ChatTemplate.from_metadata(self._templates, self.tokenizer)
        choices: dict[str, Any] = {**options}
        bos, special = choices.pop("bos", None), choices.pop("parse_special", True)
        ids = chat_ids(self._template, self.tokenizer, messages, bos=bos, parse_special=special)
        return self.generate(ids, max_tokens, **choices)

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the path of the file and the options; the sequence is not kept."""
        self._opened()
        return _load, (self._file, self._options)

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

    def _prompt_ids(
        self, prompt: Text | Sequence[int], bos: bool | None, parse_special: bool
    ) -> list[int]:
        ids = prompt_ids(self.tokenizer, prompt, bos=bos, parse_special=parse_special)
        return self._checked(ids)

    def _checked(self, ids: list[int]) -> list[int]:
        return checked_ids(ids, len(self.tokenizer), self.context)

    def _pieces(
        self,
        session: Session,
        prompt: list[int],
        max_tokens: int,
        sampler: _core.Sampler,
        stops: list[str],
    ) -> Iterator[str]:
        with self._lock.hold():
            self.stats = stats = self._new_stats()
            if max_tokens == 0:
                return
            ids = session.generate(prompt, max_tokens, sampler, self.tokenizer.eos_ids, stats)
            for piece in before_stop(self.tokenizer.stream(ids), stops):
                yield piece
                self._opened()


def _load(path: str, options: dict[str, Any]) -> Model:
    """A model from what was pickled of one."""
    return Model(path, **options)
