"""One row a kind of wrong value, tried as every argument of every operator that it is wrong for.

Exceptions follow NumPy: TypeError for a wrong kind or dtype, ValueError for a wrong value or shape,
IndexError for ids, MemoryError for what no memory holds. After each, every other argument has the
bytes and the reference count that it had, and so has `out`.
"""

import gc
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import qkernels as qk
from operators import OPERATORS, Arguments, K, floats, weights

Row = tuple[str, Callable[[], Any], tuple[type[Exception], ...]]

TYPE, VALUE, ROOM = (TypeError,), (ValueError,), (MemoryError, ValueError)


class NonsenseDLPack:
    """What says that it has an array, and has none."""

    def __init__(self, device: object, capsule: object) -> None:
        self.device, self.capsule, self.shape, self.dtype = device, capsule, (K,), np.float32

    def __dlpack_device__(self) -> object:
        return self.device

    def __dlpack__(self, **_: object) -> object:
        return self.capsule


class Raising:
    """What fails as soon as it is looked at."""

    def __array__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("this is no array")

    def __dlpack_device__(self) -> Any:
        raise RuntimeError("this has no device")

    def __dlpack__(self, **_: object) -> Any:
        raise RuntimeError("this has no memory")


class Wrapper(torch.Tensor):
    """A tensor that has a shape and no memory."""

    @staticmethod
    def __new__(cls) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, (K,), dtype=torch.float32)

    @classmethod
    def __torch_dispatch__(cls, *_: Any, **__: Any) -> Any:
        return NotImplemented


def emptied() -> torch.Tensor:
    """A tensor whose storage was taken away."""
    x = torch.ones(K)
    x.untyped_storage().resize_(0)
    return x


NO_ARRAYS: list[Row] = [
    ("an object", object, TYPE),
    ("a str", lambda: "abc", TYPE),
    ("bytes", lambda: b"abcd", TYPE),
    ("a dict", lambda: {"x": 1}, TYPE),
    ("a set", lambda: {1.0, 2.0}, TYPE),
    ("a generator", lambda: (i for i in range(3)), TYPE),
    ("a function", lambda: len, TYPE),
    ("an array of objects", lambda: np.array([None] * K), TYPE),
    ("an array of words", lambda: np.array(["a"] * K), TYPE),
    ("an array of dates", lambda: np.zeros(K, "M8[s]"), TYPE),
    ("an array of records", lambda: np.zeros(K, [("a", "f4")]), TYPE),
    ("complex numbers", lambda: np.ones(K, np.complex64), TYPE),
    ("a masked array", lambda: np.ma.ones(K, np.float32), TYPE),
    ("a list of words", lambda: ["a"] * K, TYPE),
    ("a list of complex numbers", lambda: [1j] * K, TYPE),
    ("a list of None", lambda: [None] * K, TYPE),
    ("an Activations class", lambda: qk.Activations, TYPE),
    ("a sparse tensor", lambda: torch.ones(K).to_sparse(), TYPE),
    ("a meta tensor", lambda: torch.ones(K, device="meta"), TYPE),
    ("a complex tensor", lambda: torch.ones(K, dtype=torch.complex64), TYPE),
    ("a conjugated tensor", lambda: torch.ones(K, dtype=torch.complex64).conj(), TYPE),
    ("a tensor with a gradient", lambda: torch.ones(K, requires_grad=True), TYPE),
    ("a tensor without memory", Wrapper, TYPE),
    ("an emptied tensor", emptied, (TypeError, ValueError)),
    ("a tensor of zeros without memory", lambda: torch._efficientzerotensor((K,)), TYPE),
    ("DLPack without a device", lambda: NonsenseDLPack(None, None), TYPE),
    ("DLPack of a device of one part", lambda: NonsenseDLPack((1,), None), TYPE),
    ("DLPack of a device of words", lambda: NonsenseDLPack(("a", "b"), None), TYPE),
    ("DLPack without a capsule", lambda: NonsenseDLPack((1, 0), None), TYPE),
    ("DLPack of a device", lambda: NonsenseDLPack((2, 0), None), TYPE),
]  # fmt: skip

SHAPES: list[Row] = [
    ("no dimensions", lambda: np.array(1, np.float32), VALUE),
    ("a depth of 0", lambda: floats(0), VALUE),
    ("a depth of one more", lambda: floats(3, K + 1), VALUE),
    ("nine dimensions", lambda: floats(K).reshape((1,) * 8 + (K,)), VALUE),
    ("a tensor of another depth", lambda: torch.ones(3, K - 40), VALUE),
    ("a ragged list", lambda: [[1.0], [1.0, 2.0]], (ValueError, TypeError)),
    ("2^50 rows", lambda: np.broadcast_to(floats(1), (2**50, 256)), ROOM),
    ("2^40 rows of a tensor", lambda: torch.ones(1).expand(2**40, 256), ROOM),
]

FLOATS = [*NO_ARRAYS, *SHAPES]
ROWS: dict[str, list[Row]] = {
    "floats": [("None", lambda: None, TYPE), *FLOATS],
    "optional floats": FLOATS,
    "operand": [
        ("None", lambda: None, TYPE), ("weights", weights, TYPE), *NO_ARRAYS,
        ("three dimensions of another depth", lambda: floats(2, K + 1, 3), VALUE),
        ("another depth", lambda: floats(K - 1), VALUE),
    ],
    "weights": [
        *NO_ARRAYS, ("None", lambda: None, TYPE), ("a number", lambda: 3, TYPE),
        ("floats", lambda: floats(4, K), TYPE),
        ("blocks without their format", lambda: np.zeros((4, 144), np.uint8), TYPE),
        ("weights of another depth", lambda: weights()[:, :128], VALUE),
        ("a class", lambda: qk.QTensor, TYPE),
        ("a QTensor without its constructor", lambda: qk.QTensor.__new__(qk.QTensor), TYPE),
        ("a PackedTensor without its constructor",
         lambda: qk.PackedTensor.__new__(qk.PackedTensor), TYPE),
    ],
    "raw weights": [
        *NO_ARRAYS, ("None", lambda: None, TYPE), ("floats", lambda: floats(4, K), TYPE),
        ("signed bytes", lambda: np.zeros((4, 144), np.int8), TYPE),
        ("no rows of blocks", lambda: np.zeros((4, 145), np.uint8), VALUE),
        ("rows from the end", lambda: np.zeros((12, 144), np.uint8)[::-1], VALUE),
        ("bytes from the end", lambda: np.zeros((12, 144), np.uint8)[:, ::-1], VALUE),
        ("a list of bytes", lambda: [[0] * 144] * 12, TYPE),
    ],
    "out": [
        *NO_ARRAYS, *SHAPES, ("a list", lambda: [0.0] * 12, TYPE),
        ("doubles", lambda: np.zeros(12), TYPE),
        ("a tensor of doubles", lambda: torch.zeros(12, dtype=torch.float64), TYPE),
        ("integers", lambda: np.zeros(12, np.int32), TYPE), ("True", lambda: True, TYPE),
    ],
    "ids": [
        ("None", lambda: None, TYPE), *NO_ARRAYS, ("floats", lambda: floats(2), TYPE),
        ("bools", lambda: [True, False], TYPE), ("too large", lambda: [0, 12], (IndexError,)),
        ("negative", lambda: [0, -1], (IndexError,)), ("2^64", lambda: [0, 2**64], (IndexError,)),
        ("2^63", lambda: np.array([2**63], np.uint64), (IndexError,)),
        ("a tensor of floats", lambda: torch.ones(2), TYPE),
        ("a ragged list", lambda: [[1], [1, 2]], (ValueError, TypeError)),
        ("a huge shape", lambda: np.broadcast_to(np.int64(1), (2**50,)), ROOM),
    ],
    "positions": [
        ("None", lambda: None, TYPE), *NO_ARRAYS, ("floats", lambda: floats(3), TYPE),
        ("bools", lambda: [True, False, True], TYPE), ("too many", lambda: np.arange(4), VALUE),
        ("2^64", lambda: 2**64, VALUE), ("2^63", lambda: np.array([2**63] * 3, np.uint64), VALUE),
    ],
    "gates": [
        ("None", lambda: None, TYPE), ("floats", lambda: floats(8), TYPE),
        ("a number", lambda: 3, TYPE), ("too few", lambda: np.ones(7, bool), VALUE),
        ("a matrix", lambda: np.ones((2, 8), bool), VALUE), ("a str", lambda: "abc", TYPE),
        ("a masked array", lambda: np.ma.ones(8, bool), TYPE),
    ],
    "rows": [
        ("a number", lambda: 3, TYPE), ("a str", lambda: "2:5", TYPE),
        ("backwards", lambda: slice(5, 2, -1), VALUE), ("none", lambda: slice(3, 3), VALUE),
        ("halves", lambda: slice(0.5, 2), TYPE), ("a list", lambda: [2, 3, 4], TYPE),
    ],
    "fmt": [
        ("unknown", lambda: "q4_z", VALUE), ("a float", lambda: 1.5, TYPE),
        ("a bool", lambda: True, TYPE), ("bytes", lambda: b"q4_0", TYPE),
        ("an id past 2^63", lambda: 2**70, VALUE), ("an unknown id", lambda: -7, VALUE),
        ("with a null byte", lambda: "q4_0\0", VALUE), ("a list", lambda: ["q4_0"], TYPE),
    ],
    "act": [
        ("unknown", lambda: "int4", VALUE), ("None", lambda: None, TYPE),
        ("a number", lambda: 16, TYPE), ("bytes", lambda: b"int16", TYPE),
        ("a lone surrogate", lambda: "\udfff", VALUE),
    ],
    "word": [
        ("unknown", lambda: "abc", VALUE), ("None", lambda: None, TYPE),
        ("a number", lambda: 16, TYPE), ("bytes", lambda: b"neox", TYPE),
    ],
    "threads": [
        ("0", lambda: 0, VALUE), ("-1", lambda: -1, VALUE), ("257", lambda: 257, VALUE),
        ("2^70", lambda: 2**70, VALUE), ("a float", lambda: 2.0, TYPE),
        ("a str", lambda: "2", TYPE), ("a bool", lambda: True, TYPE),
    ],
    "count": [
        ("0", lambda: 0, VALUE), ("-1", lambda: -1, VALUE), ("2^70", lambda: 2**70, ROOM),
        ("a float", lambda: 32.0, TYPE), ("a str", lambda: "32", TYPE),
        ("a bool", lambda: True, TYPE),
    ],
    "number": [
        ("a str", lambda: "1", TYPE), ("a list", lambda: [1.0], TYPE),
        ("NaN", lambda: np.nan, VALUE),
        ("complex", lambda: 1j, TYPE), ("past the floats", lambda: 10**400, VALUE),
        ("1e300", lambda: 1e300, VALUE), ("an infinity", lambda: np.inf, VALUE),
    ],
    "shape": [
        ("None", lambda: None, TYPE), ("a number", lambda: 12, (TypeError, ValueError)),
        ("floats", lambda: (12.0, 256.0), TYPE), ("bools", lambda: (True, K), TYPE),
        ("negative", lambda: (-12, K), VALUE), ("2^70", lambda: (2**70, K), VALUE),
        ("k of 2^70", lambda: (12, 2**70), VALUE), ("empty", lambda: (), VALUE),
        ("another n", lambda: (11, K), VALUE), ("words", lambda: ("a", "b"), TYPE),
    ],
}  # fmt: skip
ROWS["positive number"] = [
    *ROWS["number"],
    ("0", lambda: 0, VALUE),
    ("below the floats", lambda: 5e-324, VALUE),
]

# What a role calls wrong in general and these arguments take.
TAKEN = {
    ("quantize_activations", "x"): {"a depth of one more", "a tensor of another depth"},
    ("rope", "base"): {"1e300", "below the floats"},  # angles are in double precision
    ("rope", "scale"): {"1e300"},
    ("gates.train", "w"): {"floats", "blocks without their format"},  # a matrix of numbers, too
}
NAMED = ("floats", "optional floats", "ids", "positions", "out", "act", "fmt", "threads", "count")


def complaint(error: BaseException, expected: tuple[type[Exception], ...], named: str) -> str:
    """What is wrong with an exception: its type, or that it does not name the argument."""
    text = f"{type(error).__name__}: {error}"[:300]
    kinds = (*expected, *({type(error)} if isinstance(error, MemoryError) else ()))
    if not isinstance(error, expected) or type(error) not in kinds:
        return text
    if named and isinstance(error, TypeError) and not re.search(rf"\b{named}\b", str(error)):
        return f"{text} (which does not name {named})"
    return ""


def as_torch(arguments: Arguments) -> Arguments:
    """The same arguments with tensors for the arrays of floats."""
    return {
        name: torch.from_numpy(value)
        if isinstance(value, np.ndarray) and value.dtype == np.float32
        else value
        for name, value in arguments.items()
    }


def contents(value: object) -> object:
    """What must not change: an argument's bytes."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, qk.QTensor):
        value = np.asarray(value.data)
    return value.tobytes() if isinstance(value, np.ndarray) else None


def wrong_calls() -> list[tuple[str, str, str]]:
    return [
        (operator, argument, framework)
        for operator, entry in OPERATORS.items()
        for argument in entry.roles
        for framework in ("numpy", "torch")
    ]


@pytest.mark.usefixtures("few_objects")
@pytest.mark.parametrize(("operator", "argument", "framework"), wrong_calls())
def test_a_wrong_value_is_refused_by_name_and_changes_nothing(
    operator: str, argument: str, framework: str
) -> None:
    entry = OPERATORS[operator]
    good = entry.arguments() if framework == "numpy" else as_torch(entry.arguments())
    entry.call(**good)  # what is wrong below is that one argument
    before = {name: contents(value) for name, value in good.items()}
    held = [value for value in good.values() if not isinstance(value, (int, float, str))]
    counts = [sys.getrefcount(value) for value in held]
    role = entry.roles[argument]
    failures = []
    for label, make, expected in ROWS[role]:
        if label in TAKEN.get((operator, argument), ()):
            continue
        value = make()
        try:
            entry.call(**good | {argument: value})
        except Exception as error:
            wrong = complaint(error, expected, argument if role in NAMED else "")
        else:
            wrong = "no exception"
        if wrong:
            failures.append(f"{label}: {wrong}")
        if {name: contents(value) for name, value in good.items()} != before:
            failures.append(f"{label}: changed an argument")
            break
        del value
    gc.collect()
    if [sys.getrefcount(value) for value in held] != counts:
        failures.append("keeps a reference")
    assert not failures, "\n" + "\n".join(failures)
