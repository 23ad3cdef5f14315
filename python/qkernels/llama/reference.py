"""The forward pass of the Llama family, written to be read.

It is what a faster runtime is checked against.

`x` is a batch of m token vectors, (m, width), and every matrix is (n, k), so a product is x @ w.T.
One layer adds to x what attention and then the feed-forward network make of its normalised copy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels.llama.config import LlamaConfig
from qkernels.llama.inputs import ids_of
from qkernels.llama.tensors import EMBEDDING, NAMES, ROPE_FACTORS, as_matrix, collect

Array = NDArray[Any]
Names = Mapping[str, str]  # of a layer's tensors, by their roles


class Reference:
    """One model and the keys and values of the tokens that it has seen.

    With `precision="qkernels"` matrix products are `qk.gemv` (one token) and `qk.gemm` (several)
    with activations of kind `act`, and the rest is float32. With `precision="float64"` the same
    weights are decoded once, to 8 bytes each, and everything is float64: slow, and the standard.
    `observe` is called before every product with the matrix's name and what it is multiplied with,
    (m, k), which stays as it is.
    """

    def __init__(
        self,
        file: qk.GGUFFile,
        precision: Literal["qkernels", "float64"] = "qkernels",
        act: str = "int16",
        observe: Callable[[str, Array], object] | None = None,
    ) -> None:
        """Check that `file`, which must stay open, is a model of the Llama family.

        Raises:
            ValueError: `precision` is unknown, the metadata is not a supported model's (see
                `LlamaConfig`), or a tensor is missing, misshapen or not known here.
        """
        if precision not in ("qkernels", "float64"):
            raise ValueError(f"precision is {precision!r}, choose 'qkernels' or 'float64'")
        self.config = LlamaConfig.from_metadata(file.metadata)
        self.act = act
        self._observe = observe
        self._file = file
        self._tensors = collect(file, self.config)
        self.vocabulary = self._tensors.vocabulary
        self._exact = precision == "float64"
        self._dtype = np.float64 if self._exact else np.float32
        self._decoded: dict[str, Array] = {}
        # Rotations per position of each pair of a head, slower from pair to pair.
        pairs = np.arange(0, self.config.head_dim, 2) / self.config.head_dim
        frequencies = self.config.rope_base**-pairs / self.config.rope_scale
        self._frequencies = frequencies / self._tensors.vectors.get(ROPE_FACTORS, 1.0)
        self.reset()

    @property
    def multiplied(self) -> list[str]:
        """The names of the matrices that something is multiplied with, in order."""
        head = self._tensors.head
        return [name for name in self._tensors.matrices if name != EMBEDDING or name == head]

    def reset(self) -> None:
        """Forget all tokens."""
        c = self.config
        self.position = 0
        empty = np.empty((0, c.kv_heads, c.head_dim), self._dtype)
        self._keys: list[Array] = [empty] * c.layers
        self._values: list[Array] = [empty] * c.layers

    def forward(self, tokens: Sequence[int]) -> Array:
        """Append m tokens to the sequence and return their logits.

        Returns:
            (m, vocabulary), float64 or float32 by precision; row i scores what follows token i.

        Raises:
            ValueError: no tokens, an id outside the vocabulary, or more tokens than the context.
            TypeError: `tokens` are not integers.
        """
        tokens = ids_of(tokens, "tokens")
        if not tokens or not all(0 <= token < self.vocabulary for token in tokens):
            raise ValueError(f"tokens {tokens} are not ids below {self.vocabulary}")
        if self.position + len(tokens) > self.config.context:
            raise ValueError(
                f"{self.position} + {len(tokens)} tokens exceed the context {self.config.context}"
            )
        # Weights that are not finite give logits that are not, without a warning a step.
        with np.errstate(over="ignore", invalid="ignore"):
            x = self._embed(tokens)
            for layer in range(self.config.layers):
                w = self.config.layer_names(layer)
                x = x + self._attention(layer, w, self._norm(x, w["attention_norm"]))
                x = x + self._feed_forward(w, self._norm(x, w["ffn_norm"]))
            self.position += len(tokens)
            return self._product(self._norm(x, NAMES["output_norm"]), self._tensors.head)

    def greedy(
        self, prompt: Sequence[int], max_tokens: int, stop: Collection[int] = ()
    ) -> Iterator[int]:
        """Append `prompt` and yield the most likely next token, up to `max_tokens` times.

        Ends early before a token in `stop`.

        Raises:
            ValueError: as `forward`, or the logits hold a NaN and so have no largest.
        """
        tokens = prompt
        for _ in range(max_tokens):
            logits = self.forward(tokens)[-1]
            if np.isnan(logits).any():
                raise ValueError("the logits hold NaN: some weights are not finite")
            token = int(np.argmax(logits))
            if token in stop:
                return
            yield token
            tokens = [token]

    def _attention(self, layer: int, w: Names, x: Array) -> Array:
        """What each token gathers from itself and those before it: (m, width) to (m, width)."""
        c = self.config
        m = len(x)
        q = self._projection(x, w["q"], w.get("q_bias")).reshape(m, c.heads, c.head_dim)
        k = self._projection(x, w["k"], w.get("k_bias")).reshape(m, c.kv_heads, c.head_dim)
        v = self._projection(x, w["v"], w.get("v_bias")).reshape(m, c.kv_heads, c.head_dim)
        if "q_norm" in w:
            q, k = self._norm(q, w["q_norm"]), self._norm(k, w["k_norm"])
        keys = self._keys[layer] = np.concatenate([self._keys[layer], self._rotate(k)])
        values = self._values[layer] = np.concatenate([self._values[layer], v])

        # Axes: h key heads, g query heads that share one, m tokens, t cached tokens, d head values.
        grouped = self._rotate(q).reshape(m, c.kv_heads, c.heads // c.kv_heads, c.head_dim)
        scores = grouped.transpose(1, 2, 0, 3) @ keys.transpose(1, 2, 0)[:, None]
        scores /= self._dtype(np.sqrt(c.head_dim))
        future = np.arange(len(keys)) > self.position + np.arange(m)[:, None]
        scores[..., future] = -np.inf
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = scores @ values.transpose(1, 0, 2)[:, None]
        mixed = mixed.transpose(2, 0, 1, 3).reshape(m, -1)
        return self._product(mixed, w["output"])

    def _feed_forward(self, w: Names, x: Array) -> Array:
        """SwiGLU: (silu(x @ gate.T) * (x @ up.T)) @ down.T, (m, width) to (m, width)."""
        gate, up = self._product(x, w["gate"]), self._product(x, w["up"])
        # silu(g) = g * sigmoid(g); this form of the sigmoid does not overflow.
        silu = gate * (self._dtype(0.5) * (1 + np.tanh(self._dtype(0.5) * gate)))
        return self._product(silu * up, w["down"])

    def _norm(self, x: Array, name: str) -> Array:
        """RMSNorm: scale vectors along the last axis to a mean square of 1, then by the gains."""
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        gains = self._tensors.vectors[name]
        normed: Array = x / np.sqrt(mean_square + self._dtype(self.config.rms_epsilon)) * gains
        return normed

    def _rotate(self, x: Array) -> Array:
        """RoPE: rotate pair i of each head by position * frequency i; x is (m, heads, head_dim)."""
        positions = np.arange(self.position, self.position + len(x))
        angles = positions[:, None, None] * self._frequencies
        cos, sin = np.cos(angles).astype(self._dtype), np.sin(angles).astype(self._dtype)
        half = x.shape[-1] // 2
        neox = self.config.rope == "neox"
        first = slice(0, half) if neox else slice(0, None, 2)
        second = slice(half, None) if neox else slice(1, None, 2)
        rotated = np.empty_like(x)
        rotated[..., first] = x[..., first] * cos - x[..., second] * sin
        rotated[..., second] = x[..., first] * sin + x[..., second] * cos
        return rotated

    def _embed(self, tokens: Sequence[int]) -> Array:
        rows: Array = qk.get_rows(self._blocks(EMBEDDING), tokens)
        return rows.astype(self._dtype)

    def _projection(self, x: Array, name: str, bias: str | None) -> Array:
        """A product and, where the model has one, its bias: (m, width) to (m, n)."""
        y = self._product(x, name)
        return y if bias is None else y + self._tensors.vectors[bias]

    def _product(self, x: Array, name: str) -> Array:
        """x @ w.T: (m, k) to (m, n)."""
        if self._observe is not None:
            self._observe(name, x)
        y: Array
        if self._exact:
            y = x @ self._decode(name).T
        elif len(x) == 1:
            y = qk.gemv(self._tensors.matrices[name], x[0], act=self.act)[None]
        else:
            y = qk.gemm(self._tensors.matrices[name], x, act=self.act)
        return y

    def _decode(self, name: str) -> Array:
        if name not in self._decoded:
            self._decoded[name] = qk.dequantize(self._blocks(name)).astype(np.float64)
        return self._decoded[name]

    def _blocks(self, name: str) -> qk.QTensor:
        """A matrix as it lies in the file, packed or not."""
        weights = as_matrix(self._file.unpacked(name))
        assert isinstance(weights, qk.QTensor)  # collect() saw to it
        return weights
