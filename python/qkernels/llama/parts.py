"""Files that are a part of a model: they are refused, whatever else they lack."""

from __future__ import annotations

from collections.abc import Mapping


def refuse_part(metadata: Mapping[str, object]) -> None:
    """Refuse one of several files that are a model together.

    Raises:
        ValueError: it is one; the message says which of how many, and what merges them.
    """
    count, number = metadata.get("split.count"), metadata.get("split.no")
    if isinstance(count, int) and count > 1:
        which = f"part {number + 1}" if isinstance(number, int) else "a part"
        raise ValueError(
            f"the file is {which} of {count}: merge the parts first (llama-gguf-split --merge)"
        )
