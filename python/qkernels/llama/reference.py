"""The Llama forward pass, written to be read: what a faster runtime is checked against.

`x` is a batch of m token vectors, (m, width), and every matrix is (n, k), so a product is x @ w.T.
One layer adds to x what attention and then the feed-forward network make of its normalised copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import qkernels as qk
from qkernels.llama.config import LlamaConfig

Array = NDArray[Any]


class Reference:
    """One Llama model and the keys and values of the tokens that it has seen.

    With `precision="qkernels"` matrix products are `qk.gemv` (one token) and `qk.gemm` (several)
    with activations of kind `act`, and the rest is float32. With `precision="float64"` the same
    weights are decoded once, to 8 bytes each, and everything is float64: slow, and the standard.
    """

    def __init__(
        self,
        file: qk.GGUFFile,
        precision: Literal["qkernels", "float64"] = "qkernels",
        act: str = "int16",
    ) -> None:
        """Check that `file`, which must stay open, is a plain Llama model.

        Raises:
            ValueError: `precision` is unknown, the metadata is not a supported Llama's (see
                `LlamaConfig`), or a tensor is missing, misshapen or not known here.
        """
        if precision not in ("qkernels", "float64"):
            raise ValueError(f"precision is {precision!r}, choose 'qkernels' or 'float64'")
        self.config = LlamaConfig.from_metadata(file.metadata)
        self.head = "output.weight" if "output.weight" in file else "token_embd.weight"
        self.vocabulary = _check_tensors(file, self.config)
        self.act = act
        self._file = file
        self._exact = precision == "float64"
        self._dtype = np.float64 if self._exact else np.float32
        self._decoded: dict[str, Array] = {}
        # Rotations per position of each pair of a head, slower from pair to pair.
        pairs = np.arange(0, self.config.head_dim, 2) / self.config.head_dim
        self._frequencies = self.config.rope_base**-pairs
        self.reset()

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
        """
        tokens = [int(token) for token in tokens]
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
                x = x + self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm"))
                x = x + self._feed_forward(layer, self._norm(x, f"blk.{layer}.ffn_norm"))
            self.position += len(tokens)
            return self._product(self._norm(x, "output_norm"), self.head)

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

    def _attention(self, layer: int, x: Array) -> Array:
        """What each token gathers from itself and those before it: (m, width) to (m, width)."""
        c = self.config
        m, block = len(x), f"blk.{layer}.attn"
        q = self._product(x, f"{block}_q.weight").reshape(m, c.heads, c.head_dim)
        k = self._product(x, f"{block}_k.weight").reshape(m, c.kv_heads, c.head_dim)
        v = self._product(x, f"{block}_v.weight").reshape(m, c.kv_heads, c.head_dim)
        keys = self._keys[layer] = np.concatenate([self._keys[layer], self._rotate(k)])
        values = self._values[layer] = np.concatenate([self._values[layer], v])

        # Axes: m tokens, t cached tokens, h key heads, g query heads that share one, d head values.
        grouped = self._rotate(q).reshape(m, c.kv_heads, c.heads // c.kv_heads, c.head_dim)
        scores = np.einsum("mhgd,thd->hgmt", grouped, keys) / self._dtype(np.sqrt(c.head_dim))
        future = np.arange(len(keys)) > self.position + np.arange(m)[:, None]
        scores[..., future] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hgmt,thd->mhgd", scores, values).reshape(m, c.width)
        return self._product(mixed, f"{block}_output.weight")

    def _feed_forward(self, layer: int, x: Array) -> Array:
        """SwiGLU: (silu(x @ gate.T) * (x @ up.T)) @ down.T, (m, width) to (m, width)."""
        gate = self._product(x, f"blk.{layer}.ffn_gate.weight")
        up = self._product(x, f"blk.{layer}.ffn_up.weight")
        # silu(g) = g * sigmoid(g); this form of the sigmoid does not overflow.
        silu = gate * (self._dtype(0.5) * (1 + np.tanh(self._dtype(0.5) * gate)))
        return self._product(silu * up, f"blk.{layer}.ffn_down.weight")

    def _norm(self, x: Array, name: str) -> Array:
        """RMSNorm: scale each token vector to a mean square of 1, then by the learned gains."""
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        gains = self._file[f"{name}.weight"]
        assert isinstance(gains, np.ndarray)  # _check_tensors saw to it
        normed: Array = x / np.sqrt(mean_square + self._dtype(self.config.rms_epsilon)) * gains
        return normed

    def _rotate(self, x: Array) -> Array:
        """RoPE: turn pair (2i, 2i+1) of each head by position * frequency i; x is (m, heads, d)."""
        positions = np.arange(self.position, self.position + len(x))
        angles = positions[:, None, None] * self._frequencies
        cos, sin = np.cos(angles).astype(self._dtype), np.sin(angles).astype(self._dtype)
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = np.empty_like(x)
        turned[..., 0::2] = even * cos - odd * sin
        turned[..., 1::2] = even * sin + odd * cos
        return turned

    def _embed(self, tokens: Sequence[int]) -> Array:
        rows: Array = qk.get_rows(_blocks(self._file, "token_embd.weight"), tokens)
        return rows.astype(self._dtype)

    def _product(self, x: Array, name: str) -> Array:
        """x @ w.T: (m, k) to (m, n)."""
        y: Array
        if self._exact:
            y = x @ self._decode(name).T
        elif len(x) == 1:
            y = qk.gemv(self._matrix(name), x[0], act=self.act)[None]
        else:
            y = qk.gemm(self._matrix(name), x, act=self.act)
        return y

    def _matrix(self, name: str) -> qk.QTensor | qk.PackedTensor:
        weights = self._file[name]
        assert isinstance(weights, (qk.QTensor, qk.PackedTensor))  # _check_tensors saw to it
        return weights

    def _decode(self, name: str) -> Array:
        if name not in self._decoded:
            self._decoded[name] = qk.dequantize(_blocks(self._file, name)).astype(np.float64)
        return self._decoded[name]


def _blocks(file: qk.GGUFFile, name: str) -> qk.QTensor:
    """A matrix as it lies in the file, packed or not."""
    weights = file.unpacked(name)
    assert isinstance(weights, qk.QTensor)  # _check_tensors saw to it
    return weights


def _check_tensors(file: qk.GGUFFile, config: LlamaConfig) -> int:
    """Refuse a file whose tensors are not exactly those of the forward pass; return its vocabulary.

    An unknown tensor (a bias, a mixture's router, RoPE factors) would change the result if used.
    """
    # Before the names of so many layers are made: the number may be anything.
    if config.layers > len(file):
        raise ValueError(f"llama.block_count is {config.layers}, the file has {len(file)} tensors")
    shapes: dict[str, tuple[int, ...]] = {**config.matrix_shapes()}
    shapes |= dict.fromkeys(config.vector_names(), (config.width,))
    embedding = file.get("token_embd.weight")
    if not isinstance(embedding, (qk.QTensor, qk.PackedTensor)) or not embedding.shape[0]:
        raise ValueError("token_embd.weight is missing or is no matrix with rows")
    vocabulary = embedding.shape[0]
    shapes["token_embd.weight"] = (vocabulary, config.width)
    if "output.weight" in file:
        shapes["output.weight"] = (vocabulary, config.width)
    for name, shape in shapes.items():
        if name not in file:
            raise ValueError(f"the file has no tensor {name}")
        tensor = file[name]
        is_matrix = isinstance(tensor, (qk.QTensor, qk.PackedTensor))
        if tuple(tensor.shape) != shape or is_matrix != (len(shape) == 2):
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {shape}")
    if unknown := sorted(set(file) - set(shapes)):
        raise ValueError(f"tensor {unknown[0]} is not part of a plain Llama model")
    return vocabulary
