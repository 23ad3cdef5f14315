"""What a Llama forward pass must know beside the weights, read from GGUF metadata and checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qkernels.files.parts import refuse_part
from qkernels.llama.inputs import shown

Rope = Literal["interleaved", "neox"]


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes and constants of one model of the Llama family.

    A row of the query projection holds `heads` heads of `head_dim` values, a row of the key and the
    value projection `kv_heads` of them: query head h reads key head h // (heads // kv_heads).

    Attributes:
        architecture: "llama", "qwen2" or "qwen3", as in `general.architecture`.
        rope: which values of a head RoPE turns together: "interleaved" 2i and 2i + 1, "neox" i and
            i + head_dim / 2.
        rope_scale: positions are divided by it before RoPE.
        qkv_bias: whether the query, key and value projections add a bias.
        qk_norm: whether each head of queries and keys is normalised before RoPE.
        context: how many tokens the model was made for.
    """

    architecture: str
    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    rms_epsilon: float
    rope_base: float
    rope: Rope = "interleaved"
    rope_scale: float = 1.0
    qkv_bias: bool = False
    qk_norm: bool = False

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> LlamaConfig:
        """Read the configuration of a `llama`, `qwen2` or `qwen3` GGUF file.

        A sliding window below the context is ignored, as llama.cpp does for these architectures,
        with a UserWarning.

        Args:
            metadata: the file's key-value pairs, as in `GGUFFile.metadata`.

        Raises:
            ValueError: a part of a model, another architecture, a kind of attention or RoPE that is
                not supported, or a key that is missing, of the wrong type or out of range; the
                message names the key and its value.
        """
        notes: list[str] = []
        config = cls._read(metadata, notes)
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return config

    @classmethod
    def _read(cls, metadata: Mapping[str, object], notes: list[str]) -> LlamaConfig:
        """As `from_metadata`, which leaves it to the caller to warn of what goes to `notes`."""
        refuse_part(metadata)
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or architecture not in _VARIANTS:
            supported = ", ".join(map(repr, _VARIANTS))
            raise ValueError(f"general.architecture is {architecture!r}, supported are {supported}")
        keys = _Keys(metadata, architecture)
        _refuse_other_attention(keys)
        keys.refuse_other_values(_ONLY)
        heads, kv_heads, head_dim = _heads(keys)
        rope, qkv_bias, qk_norm = _VARIANTS[architecture]
        context = keys.count("context_length")
        _pass_over_window(keys, context, notes)
        return cls(
            architecture=architecture,
            layers=keys.count("block_count"),
            width=keys.count("embedding_length"),
            hidden=keys.count_of_layers("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            context=context,
            rms_epsilon=keys.positive("attention.layer_norm_rms_epsilon", or_zero=True),
            # GGUF lets a file omit the base; Llama 2 was trained with this one.
            rope_base=keys.positive("rope.freq_base", default=10000.0),
            rope=rope,
            rope_scale=_rope_scale(keys),
            qkv_bias=qkv_bias,
            qk_norm=qk_norm,
        )

    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """Name and shape (n, k) of every matrix of the layers, in the order of their use."""
        q_width, kv_width = self.heads * self.head_dim, self.kv_heads * self.head_dim
        shapes = {
            "attn_q": (q_width, self.width),
            "attn_k": (kv_width, self.width),
            "attn_v": (kv_width, self.width),
            "attn_output": (self.width, q_width),
            "ffn_gate": (self.hidden, self.width),
            "ffn_up": (self.hidden, self.width),
            "ffn_down": (self.width, self.hidden),
        }
        return {
            f"blk.{layer}.{name}.weight": shape
            for layer in range(self.layers)
            for name, shape in shapes.items()
        }

    def vector_lengths(self) -> dict[str, int]:
        """Name and length of every vector: the gains of the norms, and the biases."""
        q_width, kv_width = self.heads * self.head_dim, self.kv_heads * self.head_dim
        lengths = {"attn_norm.weight": self.width, "ffn_norm.weight": self.width}
        if self.qkv_bias:
            lengths |= {"attn_q.bias": q_width, "attn_k.bias": kv_width, "attn_v.bias": kv_width}
        if self.qk_norm:
            lengths |= {"attn_q_norm.weight": self.head_dim, "attn_k_norm.weight": self.head_dim}
        layers = {
            f"blk.{layer}.{name}": length
            for layer in range(self.layers)
            for name, length in lengths.items()
        }
        return {**layers, "output_norm.weight": self.width}


# By architecture: (rope, qkv_bias, qk_norm).
_VARIANTS: dict[str, tuple[Rope, bool, bool]] = {
    "llama": ("interleaved", False, False),
    "qwen2": ("neox", True, False),
    "qwen3": ("neox", False, True),
}
# Keys that would change the forward pass, and the only values of them that do not.
_ONLY: dict[str, float] = {
    "expert_count": 0,
    "nextn_predict_layers": 0,
    "rope.scaling.attn_factor": 1.0,
}


class _Keys:
    """The metadata that begins with the architecture's name."""

    def __init__(self, metadata: Mapping[str, object], architecture: str) -> None:
        self._metadata = metadata
        self._prefix = f"{architecture}."

    def name(self, key: str) -> str:
        return self._prefix + key

    def value(self, key: str, default: object = None) -> object:
        return self._metadata.get(self._prefix + key, default)

    def count(self, key: str, default: int | None = None) -> int:
        value = self._required(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{self.name(key)} is {shown(value)}, expected a positive integer")
        return value

    def count_of_layers(self, key: str, default: int | None = None) -> int:
        """A count that may be given once, or for each layer where it is the same for all."""
        values = self.value(key)
        if not isinstance(values, list):
            return self.count(key, default)
        layers = self.count("block_count")
        if len(values) != layers or len(set(map(repr, values))) != 1:
            raise ValueError(
                f"{self.name(key)} is {shown(values)}, supported is one value, the same for each of"
                f" {layers} layers"
            )
        return _Keys({self.name(key): values[0]}, self._prefix[:-1]).count(key)

    def positive(self, key: str, default: float | None = None, *, or_zero: bool = False) -> float:
        value = self._required(key, default)
        if or_zero and value == 0.0:
            return 0.0
        # The comparison is false for a NaN.
        if not isinstance(value, float) or not 0 < value < float("inf"):
            raise ValueError(f"{self.name(key)} is {shown(value)}, expected a positive number")
        return value

    def refuse_other_values(self, only: Mapping[str, float]) -> None:
        for key, value in only.items():
            if (found := self.value(key, value)) != value:
                raise ValueError(f"{self.name(key)} is {shown(found)}, supported is {value!r}")

    def _required(self, key: str, default: object) -> object:
        value = self.value(key, default)
        if value is None:
            raise ValueError(f"the metadata has no {self.name(key)}")
        return value


def _refuse_other_attention(keys: _Keys) -> None:
    """Refuse a model whose tokens also see those after them, as embedding models' do."""
    key = "attention.causal"
    if (causal := keys.value(key, True)) is not True:
        raise ValueError(
            f"{keys.name(key)} is {shown(causal)}: attention in both directions is not supported"
        )


def _pass_over_window(keys: _Keys, context: int, notes: list[str]) -> None:
    """Note a window that is not heard: no layer of these architectures has one in llama.cpp."""
    key = "attention.sliding_window"
    # 0 stands for none.
    if (window := keys.value(key, 0)) != 0 and keys.count(key) < context:
        notes.append(
            f"{keys.name(key)} is {window}, and is ignored, as by llama.cpp: in longer texts tokens"
            " see more than they did in training"
        )


def _heads(keys: _Keys) -> tuple[int, int, int]:
    """(heads, kv_heads, head_dim)."""
    width = keys.count("embedding_length")
    heads = keys.count_of_layers("attention.head_count")
    kv_heads = keys.count_of_layers("attention.head_count_kv", default=heads)
    if heads % kv_heads:
        raise ValueError(
            f"{keys.name('attention.head_count')}={heads} is not a multiple of"
            f" {keys.name('attention.head_count_kv')}={kv_heads}"
        )
    if keys.value("attention.key_length") is None and width % heads:
        raise ValueError(
            f"{keys.name('embedding_length')}={width} does not split into"
            f" {keys.name('attention.head_count')}={heads} heads"
        )
    head_dim = keys.count("attention.key_length", default=width // heads)
    if head_dim % 2:
        raise ValueError(f"the head size is {head_dim}, which RoPE cannot split into pairs")
    for key in ("attention.value_length", "rope.dimension_count"):
        if (size := keys.count(key, default=head_dim)) != head_dim:
            raise ValueError(f"{keys.name(key)} is {size}, supported is the head size {head_dim}")
    return heads, kv_heads, head_dim


def _rope_scale(keys: _Keys) -> float:
    """What positions are divided by: a factor without a type is a linear one."""
    kind = keys.value("rope.scaling.type", "linear")
    if kind not in ("none", "linear"):
        raise ValueError(
            f"{keys.name('rope.scaling.type')} is {kind!r}, supported are 'none' and 'linear'"
        )
    # Older files have the factor under another name; 0 stands for none.
    for key in ("rope.scaling.factor", "rope.scale_linear"):
        if kind == "linear" and (factor := keys.value(key)) is not None:
            return 1.0 if factor == 0 else keys.positive(key)
    return 1.0
