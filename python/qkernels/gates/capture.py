"""Capturing activations: what the matrices of a real model are multiplied with."""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qkernels._base.progress import bar

if TYPE_CHECKING:
    from qkernels.files.gguf import GGUFFile
    from qkernels.llama import Model, Reference

    Source = str | os.PathLike[str] | Model | GGUFFile


def capture(
    model: Source,
    prompts: str | Sequence[str | Sequence[int]],
    tensors: str | Sequence[str] = "*",
    *,
    max_tokens: int | None = None,
    act: str = "int16",
) -> dict[str, NDArray[np.float32]]:
    """Run prompts through a model and keep the inputs of its matrices.

    The forward pass is `qkernels.llama.Reference`'s: each prompt is a sequence of its own.

    Args:
        model: a GGUF file's path, the word "smollm2", a `qkernels.llama.Model` (whose file is
            opened again) or an open `GGUFFile`.
        prompts: texts, or lists of token ids; a single text is a single prompt.
        tensors: names of tensors, or patterns such as "blk.*.ffn_down.weight": those whose inputs
            are kept.
        max_tokens: of each prompt, the first so many at most; None for all.
        act: how activations enter products, as for `gemv`.

    Returns:
        By tensor, in the model's order: float32 (tokens, k), the tokens of all prompts in a row.
        Matrices that share an input share the array.

    Raises:
        OSError: the file does not exist or cannot be read.
        ValueError: no prompts, one without tokens or longer than the context, no pattern, one that
            fits no matrix, or a file that is no model that is supported.
    """
    from qkernels.files.gguf import GGUFFile, load_gguf
    from qkernels.llama import Model
    from qkernels.llama.options import find_file

    if isinstance(model, GGUFFile):
        return _capture(model, prompts, tensors, max_tokens, act)
    with load_gguf(model.path if isinstance(model, Model) else find_file(model)) as file:
        return _capture(file, prompts, tensors, max_tokens, act)


def _capture(
    file: GGUFFile,
    prompts: str | Sequence[str | Sequence[int]],
    tensors: str | Sequence[str],
    max_tokens: int | None,
    act: str,
) -> dict[str, NDArray[np.float32]]:
    from qkernels.llama import Reference, Tokenizer

    kept: dict[str, list[NDArray[Any]]] = {}

    def keep(name: str, x: NDArray[Any]) -> None:
        if name in kept:
            kept[name].append(x)

    reference = Reference(file, act=act, observe=keep)
    kept.update({name: [] for name in _chosen(reference, tensors)})
    tokenizer = Tokenizer.from_metadata(file.metadata)
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    if not texts:
        raise ValueError("there are no prompts")
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens={max_tokens} is below 1")
    for prompt in bar(texts, "capturing"):
        tokens = tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        reference.reset()
        reference.forward(tokens[:max_tokens])
    return _joined(kept)


def _chosen(reference: Reference, tensors: str | Sequence[str]) -> list[str]:
    """The matrices that patterns name, in the model's order."""
    patterns = [tensors] if isinstance(tensors, str) else list(tensors)
    names = reference.multiplied
    if not patterns:
        raise ValueError("tensors names no matrix")
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, 1) or [names[0]]
            raise ValueError(f"no matrix of the model fits {pattern!r}; one of them is {near[0]!r}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def _joined(kept: dict[str, list[NDArray[Any]]]) -> dict[str, NDArray[np.float32]]:
    """One array a name; the same one where the pieces are the same."""
    joined: dict[tuple[int, ...], NDArray[np.float32]] = {}
    found = {}
    for name, pieces in kept.items():
        key = tuple(map(id, pieces))
        if key not in joined:
            joined[key] = np.concatenate(pieces).astype(np.float32, copy=False)
        found[name] = joined[key]
    return found
