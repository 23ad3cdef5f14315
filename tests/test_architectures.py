"""The table of a model's tensors: what it says is GGUF's, and all who read it hold files to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import pytest

import qkernels as qk
from model_variants import Altered
from qkernels import _core
from qkernels.demo.random_model import random_llama
from qkernels.llama import LlamaConfig, Reference
from qkernels.llama.config import ARCHITECTURES, TENSORS
from qkernels.llama.tensors import collect


@pytest.fixture(params=ARCHITECTURES)
def model(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[qk.GGUFFile]:
    """A file with every tensor that its architecture may have."""
    name = str(request.param)
    factors = any(t.role == "rope_factors" and name in t.architectures for t in TENSORS)
    path = random_llama(
        tmp_path / "model.gguf",
        architecture=name, tied=False, rope_factors=factors, layers=2, fmt="q8_0",
    )  # fmt: skip
    with qk.load_gguf(path) as file:
        yield file


def shapes_of(file: qk.GGUFFile) -> dict[str, tuple[int, ...]]:
    rows = file["token_embd.weight"].shape[0]
    return LlamaConfig.from_metadata(file.metadata).tensors(int(rows))


def core_model(file: qk.GGUFFile, **changes: Any) -> _core.Llama:
    """The core's model of a file's tensors with some exchanged, or left out where they are None."""
    config = LlamaConfig.from_metadata(file.metadata)
    tensors = {**collect(file, config).core(), **changes}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    return _core.Llama(asdict(config), tensors, "float16", 8, "int16", 1)


def misshapen(shape: tuple[int, ...]) -> Any:
    """One row or value more."""
    n, *k = shape
    if not k:
        return np.ones(n + 1, np.float32)
    return qk.quantize(np.ones((n + 1, *k), np.float32), "q8_0")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_names_are_those_of_the_gguf_package(architecture: str) -> None:
    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    kinds = gguf.MODEL_TENSORS[by_name[architecture]]
    known = {gguf.TENSOR_NAMES[kind].format(bid="{layer}") for kind in kinds}
    own = {t.name.rpartition(".")[0] for t in TENSORS if architecture in t.architectures}
    assert own <= known


def test_a_file_has_the_tensors_of_the_table_and_no_others(model: qk.GGUFFile) -> None:
    assert {name: tuple(model[name].shape) for name in model} == shapes_of(model)


def test_a_missing_tensor_is_named_by_file_and_core(model: qk.GGUFFile) -> None:
    optional = {tensor.name for tensor in TENSORS if tensor.optional}
    for name in set(shapes_of(model)) - optional:
        altered = Altered(model)
        del altered[name]
        with pytest.raises(ValueError, match=rf"no tensor {name}|{name} is missing"):
            Reference(cast(qk.GGUFFile, altered))
        with pytest.raises(ValueError, match=f"the model has no tensor {name}"):
            core_model(model, **{name: None})


def test_a_shape_that_does_not_fit_is_named_with_the_right_one_by_file_and_core(
    model: qk.GGUFFile,
) -> None:
    for name, shape in shapes_of(model).items():
        if name == "token_embd.weight":  # the others' shapes follow from it
            continue
        wrong = misshapen(shape)
        message = rf"{name} has shape \({shape[0] + 1},.*, expected \({shape[0]},"
        altered = Altered(model)
        altered[name] = wrong
        with pytest.raises(ValueError, match=message):
            Reference(cast(qk.GGUFFile, altered))
        with pytest.raises(ValueError, match=message):
            core_model(model, **{name: wrong._weights if isinstance(wrong, qk.QTensor) else wrong})


def test_what_an_architecture_lacks_is_no_part_of_its_models(model: qk.GGUFFile) -> None:
    architecture = model.metadata["general.architecture"]
    own = {tensor.name for tensor in TENSORS if architecture in tensor.architectures}
    for name in {tensor.name for tensor in TENSORS} - own:
        altered = Altered(model)
        altered[name.format(layer=1)] = np.ones(4, np.float32)
        with pytest.raises(ValueError, match=f"is not part of a plain {architecture} model"):
            Reference(cast(qk.GGUFFile, altered))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "gpt2"}, "the architecture 'gpt2' is not known"),
        ({"layers": 1 << 20}, r"1048576 layers cannot be made of \d+ tensors"),
    ],
)
def test_the_core_refuses_what_it_has_no_table_of(
    random_model: qk.GGUFFile, change: dict[str, Any], message: str
) -> None:
    config = LlamaConfig.from_metadata(random_model.metadata)
    tensors = collect(random_model, config).core()
    with pytest.raises(ValueError, match=message):
        _core.Llama({**asdict(config), **change}, tensors, "float16", 8, "int16", 1)


def test_what_the_core_is_told_by_name_must_be_a_str(random_model: qk.GGUFFile) -> None:
    config = LlamaConfig.from_metadata(random_model.metadata)
    tensors = collect(random_model, config).core()
    make: Any = _core.Llama
    with pytest.raises(TypeError, match="cache must be a str, not int"):
        make(asdict(config), tensors, 16, 8, "int16", 1)
    with pytest.raises(TypeError, match="architecture must be a str, not NoneType"):
        make({**asdict(config), "architecture": None}, tensors, "float16", 8, "int16", 1)
    model = make(asdict(config), tensors, "float16", 8, "int16", 1)
    with pytest.raises(TypeError, match="logits must be a str, not bool"):
        model.forward([1], True)


def test_the_page_lists_every_architecture() -> None:
    page = (Path(__file__).parent.parent / "docs" / "llama.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, rope in ARCHITECTURES.items():
        pairs = "interleaved pairs" if rope == "interleaved" else "halves"
        assert any(row.startswith(f"| `{name}`") and row.endswith(f"{pairs} |") for row in rows)
