"""Objects come from their constructors: whatever else is tried is a TypeError, never a crash."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qkernels as qk
from qkernels import _core
from qkernels.weights.transposed import Transposed
from weights import tensor

W = tensor("q4_0", 4, 64)
X = np.ones(64, np.float32)
CORE = [
    _core.Weights, _core.Activations, _core.GGUF, _core.GGUFTensor, _core.KVCache, _core.Sampler,
    _core.Llama, _core.ModelTensor, _core.FormatInfo,
]  # fmt: skip
PYTHON = [qk.QTensor, qk.PackedTensor, type(W.pack(gates=np.ones(2, bool), block_k=32)),
          qk.KVCache, Transposed]  # fmt: skip


def bare(cls: Any) -> Any:
    return cls.__new__(cls)


def test_every_class_of_the_core_is_looked_at() -> None:
    found = {value for value in vars(_core).values() if isinstance(value, type)}
    assert found == set(CORE)


@pytest.mark.parametrize("cls", CORE)
@pytest.mark.parametrize(
    "make",
    [
        lambda cls: bare(cls),
        lambda cls: object.__new__(cls),
        lambda cls: cls(),
        lambda cls: cls(3),
        lambda cls: cls(3, 3, 3),
        lambda cls: cls.__new__(cls, 3),
        lambda cls: type("Sub", (cls,), {"__init__": lambda self: None})(),
        lambda cls: bare(type("Sub", (cls,), {})),
        lambda cls: type("Sub", (cls,), {"__new__": lambda c: object.__new__(c)})(),
    ],
)
def test_a_class_of_the_core_makes_no_object_that_was_not_constructed(
    cls: type, make: Callable[[type], Any]
) -> None:
    with pytest.raises(TypeError):
        make(cls)


def test_objects_of_the_core_are_not_constructed_twice() -> None:
    w = _core.Weights(np.asarray(W.data), "q4_0", 64)
    before = _core.linear(w, X, None, "int16", None, 1, True)
    w.__init__(np.zeros((9, 18), np.uint8), "q4_0", 32)  # type: ignore[misc]
    assert w.shape == (4, 64)
    np.testing.assert_array_equal(_core.linear(w, X, None, "int16", None, 1, True), before)
    cache = _core.KVCache(1, 8, 4, "float32")
    cache.append(np.ones((1, 2, 8), np.float32), np.ones((1, 2, 8), np.float32), 1)
    cache.__init__(2, 16, 1, "float16")  # type: ignore[misc]
    assert (cache.length, cache.head_dim, cache.dtype) == (2, 8, "float32")


def test_subclasses_of_the_core_are_constructed_whether_or_not_they_ask_for_it() -> None:
    class Silent(_core.Weights):
        def __init__(self, *args: object) -> None:
            self.args = args

    class Proper(_core.Weights):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)

    for cls in (Silent, Proper):
        assert cls(np.asarray(W.data), "q4_0", 64).shape == (4, 64)


def test_objects_of_the_core_are_neither_copied_nor_pickled(tmp_path: Path) -> None:
    path = tmp_path / "w.gguf"
    qk.save_gguf(path, {"w": W})
    file = _core.GGUF(str(path), True)
    objects = [W._weights, file, file.tensor(0), _core.KVCache(1, 8, 4, "float32"),
               _core.Sampler(1.0, 1, 1.0, 0.0, 1.0, 0, 0)]  # fmt: skip
    for made in objects:
        for how in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot pickle"):
                how(made)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError):
                pickle.loads(pickle.dumps(made, protocol))


@pytest.mark.parametrize("cls", PYTHON)
def test_an_object_without_its_constructor_says_so(cls: type) -> None:
    broken: Any = object.__new__(cls)
    uses: list[Callable[[], object]] = [
        lambda: repr(broken),
        lambda: len(broken),
        lambda: pickle.dumps(broken),
        lambda: qk.gemv(broken, X),
        lambda: qk.gated_gemv(broken, X),
        lambda: qk.attention(np.ones((1, 1, 8), np.float32), broken),
    ]
    if cls is not qk.KVCache:
        uses += [lambda: broken @ X, lambda: X @ broken, lambda: broken.shape]
    for use in uses:
        with pytest.raises(TypeError):
            use()
    with pytest.raises(TypeError, match=f"this {cls.__name__} was made without its constructor"):
        repr(broken)
    assert not hasattr(broken, "no_such_attribute")


@pytest.mark.parametrize("argument", [3, None, "w", W, np.zeros((2, 18), np.uint8), [W]])
def test_packed_and_gated_weights_are_made_by_pack(argument: Any) -> None:
    with pytest.raises(TypeError, match=r"a PackedTensor is what QTensor\.pack\(\) returns"):
        qk.PackedTensor(argument)
    if argument is not W:
        with pytest.raises(TypeError, match=r"a GatedTensor is what QTensor\.pack\(gates=\.\.\.\)"):
            PYTHON[2](argument, None, None, True)
    with pytest.raises(ValueError, match="the weights are not packed"):
        qk.PackedTensor(W._weights)


def test_activations_come_from_quantize_activations_alone() -> None:
    with pytest.raises(TypeError, match="Activations: No constructor defined"):
        _core.Activations()
    ready = qk.quantize_activations(X)
    assert copy.copy(ready) is copy.deepcopy(ready) is ready
    with pytest.raises(TypeError, match="not pickled; pickle x itself"):
        pickle.dumps(ready)
