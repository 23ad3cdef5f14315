"""Models that were split into several files: which part a file is, and where the others are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NUMBER, COUNT = "split.no", "split.count"
NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One file of a split model."""

    number: int
    """From 1 on."""
    count: int

    def __str__(self) -> str:
        """As a message has it."""
        return f"part {self.number} of {self.count}"

    def missing(self, path: Path) -> list[str]:
        """The names of the parts that do not lie beside this one.

        Empty where this part's own name does not say what the others are called, too.
        """
        match = NAME.fullmatch(path.name)
        if match is None or int(match["count"]) != self.count:
            return []
        names = (
            f"{match['stem']}-{i:05}-of-{self.count:05}.gguf" for i in range(1, self.count + 1)
        )
        return [name for name in names if not (path.parent / name).exists()]


def part_of(metadata: Mapping[str, object]) -> Part | None:
    """Which part of a split model a file is by its metadata; None for a file that is whole."""
    count, number = metadata.get(COUNT), metadata.get(NUMBER, 0)
    if not isinstance(count, int) or not isinstance(number, int) or count < 2:
        return None
    return Part(number + 1, count)


def refuse_part(metadata: Mapping[str, object]) -> None:
    """Refuse one of several files that are a model together.

    Raises:
        ValueError: it is one; the message says which of how many, and what merges them.
    """
    if (part := part_of(metadata)) is not None:
        raise ValueError(f"the file is {part}: merge the parts first (llama-gguf-split --merge)")


def notes_on(metadata: Mapping[str, object], path: Path) -> list[str]:
    """What there is to say of a file that is not the whole model, a sentence each."""
    part = part_of(metadata)
    if part is None:
        return []
    notes = [f"{part}: the model's other tensors are in other files"]
    if missing := part.missing(path):
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        notes.append(f"{len(missing)} of the {part.count} parts are not beside it: {shown}")
    return notes
