"""general.file_type: the number by which a file says what most of its weights are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qkernels import _core

if TYPE_CHECKING:
    from qkernels.files.encode import TensorEntry

FILE_TYPES = {  # a format, and the number that general.file_type has for a file of it
    **{"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10},
    **{"q3_k": 11, "q4_k": 14, "q5_k": 16, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "bf16": 32},
    **{"tq1_0": 36, "tq2_0": 37, "mxfp4": 38},
}

# What most weights are of by general.file_type, where other files than ours have that number.
MIXTURES = {
    **{12: "q3_k", 13: "q3_k", 15: "q4_k", 17: "q5_k", 19: "iq2_xxs", 20: "iq2_xs", 21: "q2_k"},
    **{22: "iq3_s", 23: "iq3_xxs", 24: "iq1_s", 26: "iq3_s", 27: "iq3_s", 28: "iq2_xs"},
    **{29: "iq2_s", 31: "iq1_m", 39: "nvfp4"},
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
            size = 1
            for extent in entry.shape:
                size *= extent
            weights[entry.type_id] += size
    if not weights or not isinstance(old, int):
        return None
    (most, _), *others = weights.most_common()
    named = {number: fmt for fmt, number in FILE_TYPES.items()} | MIXTURES
    formats = {_type_id(fmt): fmt for fmt in named.values()}
    if formats.get(most) == named.get(old):
        return old
    return None if others else FILE_TYPES.get(formats.get(most, ""))


def _type_id(fmt: str) -> int:
    return int(_core.format_info(fmt)[1])
