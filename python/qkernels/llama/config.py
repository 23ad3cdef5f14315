"""What a Llama forward pass must know beside the weights, read from GGUF metadata and checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from qkernels import _core
from qkernels.files.parts import refuse_part
from qkernels.llama.inputs import shown

# How each architecture's RoPE forms pairs, and the tensors that they have: the core's table.
ARCHITECTURES: dict[str, str] = _core.architectures()
TENSORS = tuple(_core.model_tensors())


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes and constants of one model of the Llama family.

    A row of the query projection holds `heads` heads of `head_dim` values, a row of the key and the
    value projection `kv_heads` of them: query head h reads key head h // (heads // kv_heads).

    Attributes:
        architecture: "llama", "qwen2" or "qwen3", as in `general.architecture`; which tensors a
            model has, and how its RoPE forms pairs, depends on it alone.
        rope_scale: positions are divided by it before RoPE.
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
    rope_scale: float = 1.0

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
        if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
            supported = ", ".join(map(repr, ARCHITECTURES))
            raise ValueError(f"general.architecture is {architecture!r}, supported are {supported}")
        keys = _Keys(metadata, architecture)
        _refuse_other_attention(keys)
        keys.refuse_other_values(_ONLY)
        heads, kv_heads, head_dim = _heads(keys)
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
            rope_scale=_rope_scale(keys),
        )

    @property
    def rope(self) -> str:
        """Which values of a head RoPE rotates together.

        "interleaved" 2i and 2i + 1, "neox" i and i + head_dim / 2.
        """
        return ARCHITECTURES[self.architecture]

    def tensors(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that such a model may have, in the order of their use.

        Args:
            vocabulary: the number of tokens that there are embeddings for.

        Returns:
            (n, k) of a matrix, (n,) of a vector.
        """
        sizes = self._sizes(vocabulary)
        own = [tensor for tensor in TENSORS if self.architecture in tensor.architectures]
        shapes: dict[str, tuple[int, ...]] = {}
        for of_layers, group in groupby(own, lambda tensor: tensor.of_layers):
            tensors = list(group)
            for layer in range(self.layers if of_layers else 1):
                for tensor in tensors:
                    name = tensor.name.format(layer=layer)
                    shapes[name] = tuple(sizes[size] for size in tensor.shape)
        return shapes

    def layer_names(self, layer: int) -> dict[str, str]:
        """The names of a layer's tensors, by their roles."""
        return {
            tensor.role: tensor.name.format(layer=layer)
            for tensor in TENSORS
            if tensor.of_layers and self.architecture in tensor.architectures
        }

    def _sizes(self, vocabulary: int) -> dict[str, int]:
        """What the shapes of the table are made of."""
        return {
            "vocabulary": vocabulary,
            "width": self.width,
            "hidden": self.hidden,
            "head_dim": self.head_dim,
            "rope_pairs": self.head_dim // 2,
            "q_width": self.heads * self.head_dim,
            "kv_width": self.kv_heads * self.head_dim,
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
