"""What a Llama forward pass must know beside the weights, read from GGUF metadata and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes and constants of one Llama model.

    A row of the query projection holds `heads` heads of `head_dim` values, a row of the key and the
    value projection `kv_heads` of them: query head h reads key head h // (heads // kv_heads).
    """

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    rms_epsilon: float
    rope_base: float

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> LlamaConfig:
        """Read the configuration of a `llama` GGUF file.

        Args:
            metadata: the file's key-value pairs, as in `GGUFFile.metadata`.

        Raises:
            ValueError: another architecture, a scaled RoPE, or a key that is missing, of the wrong
                type or out of range; the message names the key and its value.
        """
        architecture = metadata.get("general.architecture")
        if architecture != "llama":
            raise ValueError(f"general.architecture is {architecture!r}, supported is 'llama'")
        scaling = metadata.get("llama.rope.scaling.type", "none")
        if scaling != "none":
            raise ValueError(f"llama.rope.scaling.type is {scaling!r}, supported is 'none'")

        width = _count(metadata, "llama.embedding_length")
        heads = _count(metadata, "llama.attention.head_count")
        kv_heads = _count(metadata, "llama.attention.head_count_kv", default=heads)
        if width % heads or (width // heads) % 2:
            raise ValueError(
                f"llama.embedding_length={width} does not split into"
                f" llama.attention.head_count={heads} heads of even size"
            )
        if heads % kv_heads:
            raise ValueError(
                f"llama.attention.head_count={heads} is not a multiple of"
                f" llama.attention.head_count_kv={kv_heads}"
            )
        head_dim = width // heads
        for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
            if (size := _count(metadata, f"llama.{key}", default=head_dim)) != head_dim:
                raise ValueError(f"llama.{key} is {size}, supported is the head size {head_dim}")
        return cls(
            layers=_count(metadata, "llama.block_count"),
            width=width,
            hidden=_count(metadata, "llama.feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            context=_count(metadata, "llama.context_length"),
            rms_epsilon=_positive(metadata, "llama.attention.layer_norm_rms_epsilon"),
            # GGUF lets a file omit the base; Llama 2 was trained with this one.
            rope_base=_positive(metadata, "llama.rope.freq_base", default=10000.0),
        )

    def matrix_shapes(self) -> dict[str, tuple[int, int]]:
        """Name and shape (n, k) of every matrix of the layers, in the order of their use."""
        kv_width = self.kv_heads * self.head_dim
        shapes = {
            "attn_q": (self.width, self.width),
            "attn_k": (kv_width, self.width),
            "attn_v": (kv_width, self.width),
            "attn_output": (self.width, self.width),
            "ffn_gate": (self.hidden, self.width),
            "ffn_up": (self.hidden, self.width),
            "ffn_down": (self.width, self.hidden),
        }
        return {
            f"blk.{layer}.{name}.weight": shape
            for layer in range(self.layers)
            for name, shape in shapes.items()
        }

    def vector_names(self) -> list[str]:
        """Name of every norm vector; each has `width` values."""
        names = [
            f"blk.{layer}.{name}.weight"
            for layer in range(self.layers)
            for name in ("attn_norm", "ffn_norm")
        ]
        return [*names, "output_norm.weight"]


def _value(metadata: Mapping[str, object], key: str, default: object) -> object:
    value = metadata.get(key, default)
    if value is None:
        raise ValueError(f"the metadata has no {key}")
    return value


def _count(metadata: Mapping[str, object], key: str, default: int | None = None) -> int:
    value = _value(metadata, key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key} is {value!r}, expected a positive integer")
    return value


def _positive(metadata: Mapping[str, object], key: str, default: float | None = None) -> float:
    value = _value(metadata, key, default)
    # The comparison is false for a NaN.
    if not isinstance(value, float) or not 0 < value < float("inf"):
        raise ValueError(f"{key} is {value!r}, expected a positive number")
    return value
