"""general.file_type: the number by which a file says what most of its weights are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qkernels import _core

if TYPE_CHECKING:
    from qkernels.files.encode import TensorEntry

FILE_TYPES = {
    fmt: number
    for fmt in _core.formats()
    if (number := _core.format_info(fmt).file_type) is not None and _core.can_quantize(fmt)
}
"""The formats that files are quantised to, and the number that general.file_type has for each."""

# What most weights are of by general.file_type, where the number is not that of a format.
MIXTURES = {
    **{12: "q3_k", 13: "q3_k", 15: "q4_k", 17: "q5_k", 21: "q2_k", 22: "iq3_s", 27: "iq3_s"},
    28: "iq2_xs",
}


def file_type(
    old: object, entries: Mapping[str, tuple[TensorEntry, tuple[int, ...]]]
) -> int | None:
    """What general.file_type is of some tensors that had another file's number.

    The number stays where it names the format of most weights of the matrices, as mixtures have
    it; else it is that of the one format that all of them have, or none.
    """
    weights: Counter[int] = Counter()
    for entry, shape in entries.values():
        if len(shape) > 1:
            weights[entry.type_id] += math.prod(entry.shape)
    if not weights or not isinstance(old, int):
        return None
    (most, _), *others = weights.most_common()
    infos = [_core.format_info(fmt) for fmt in _core.formats()]
    named = {info.file_type: info.name for info in infos} | MIXTURES
    formats = {info.gguf_id: info.name for info in infos}
    if formats.get(most) == named.get(old):
        return old
    return None if others else FILE_TYPES.get(formats.get(most, ""))
