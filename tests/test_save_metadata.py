"""Metadata that `save_gguf` writes: types that stay, values that are held, keys that go."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import qkernels as qk
from gguf_expected import EXTREMES, NOT_UTF8, SURROGATES
from gguf_files import VALUE_TYPES, array_key, f32, image, key, load

W = {"w": np.zeros(1, np.float32)}


def types_of(path: Path) -> dict[str, list[str]]:
    fields = gguf.GGUFReader(path).fields
    return {
        name: [kind.name.lower() for kind in field.types]
        for name, field in fields.items()
        if not name.startswith("GGUF.")
    }


def saved(path: Path, metadata: Mapping[Any, Any]) -> dict[str, list[str]]:
    qk.save_gguf(path, W, metadata)
    return types_of(path)


def every_type() -> bytes:
    """A value and an array of every type, among them empty ones."""
    single = [key(f"a.{k}.{i}", k, v) for k, vs in EXTREMES.items() for i, v in enumerate(vs)]
    arrays = [array_key(f"b.{kind}", kind, values) for kind, values in EXTREMES.items()]
    kinds = [kind for kind in VALUE_TYPES if kind != "array"]
    return image([*single, *arrays, *(array_key(f"c.{kind}", kind, []) for kind in kinds)])


WAYS: dict[str, Callable[[Any], Mapping[str, object]]] = {
    "itself": lambda m: m,
    "dict()": dict,
    "unpacked": lambda m: {**m, "a.new": "x"},
    "or": lambda m: m | {"a.new": "x"},
    "or, on the right": lambda m: {"a.new": "x"} | m,
    "a comprehension": lambda m: {k: v for k, v in m.items() if k},
    "copied": lambda m: copy.deepcopy(dict(m)),
    "pickled": lambda m: pickle.loads(pickle.dumps(dict(m))),
    "sorted": lambda m: dict(sorted(m.items())),
    "updated": lambda m: dict(m, **{"a.new": "x"}),
    "merged": lambda m: {**m, **m},
}


@pytest.mark.parametrize("way", WAYS)
def test_types_and_bits_stay_whichever_way_a_dict_is_made(tmp_path: Path, way: str) -> None:
    old = load(tmp_path / "a.gguf", every_type())
    qk.save_gguf(tmp_path / "b.gguf", {}, WAYS[way](old.metadata))
    new = qk.load_gguf(tmp_path / "b.gguf")
    raws = []
    for file in (old, new):
        core = file._source.opened()
        keys = core.keys()
        raws.append({k: core.raw_value(i).tobytes() for i, k in enumerate(keys) if k != "a.new"})
    assert raws[0] == raws[1]


def test_a_value_that_takes_anothers_place_takes_its_type(tmp_path: Path) -> None:
    old = load(tmp_path / "a.gguf", every_type())
    new = {**old.metadata, "a.uint8.0": 7, "b.int16": [1, 2], "a.float64.0": 1, "a.int8.0": 300}
    types = saved(tmp_path / "b.gguf", new)
    assert types["a.uint8.0"] == ["uint8"]
    assert types["b.int16"] == ["array", "int16"]
    assert types["a.float64.0"] == ["float64"]
    assert types["a.int8.0"] == ["uint32"]  # which int8 does not hold


KNOWN: dict[str, tuple[object, list[str]]] = {
    "tokenizer.ggml.token_type": ([1, 2, 3], ["array", "int32"]),
    "tokenizer.ggml.scores": ([1, 2], ["array", "float32"]),
    "tokenizer.ggml.tokens": (["a"], ["array", "string"]),
    "tokenizer.ggml.bos_token_id": (1, ["uint32"]),
    "tokenizer.ggml.add_bos_token": (True, ["bool"]),
    "general.file_type": (7, ["uint32"]),
    "general.alignment": (32, ["uint32"]),
    "llama.block_count": (2, ["uint32"]),
    "qwen3.rope.freq_base": (10000, ["float32"]),
    "llama.attention.layer_norm_rms_epsilon": (1e-5, ["float32"]),
    "llama.attention.head_count_kv": ([2, 4], ["array", "int32"]),
    "split.no": (0, ["uint16"]),
    "split.count": (3, ["uint16"]),
    "split.tensors.count": (9, ["int32"]),
}


@pytest.mark.parametrize("way", ["plain", "numpy", "json"])
def test_known_keys_have_gguf_s_types(tmp_path: Path, way: str) -> None:
    metadata: dict[str, Any] = {name: value for name, (value, _) in KNOWN.items()}
    if way == "json":
        metadata = json.loads(json.dumps(metadata))
    if way == "numpy":
        metadata = {n: np.asarray(v)[()] if n[-1] != "s" else v for n, v in metadata.items()}
    types = saved(tmp_path / "a.gguf", metadata)
    assert types == {name: kinds for name, (_, kinds) in KNOWN.items()}


def test_empty_lists_of_known_keys_have_a_type(tmp_path: Path) -> None:
    empty = {"tokenizer.ggml.merges": [], "tokenizer.ggml.scores": [], "a": np.zeros(0, np.int8)}
    qk.save_gguf(tmp_path / "a.gguf", {}, empty)
    core = qk.load_gguf(tmp_path / "a.gguf")._source.opened()
    assert [core.value_type(i)[0] for i in range(3)] == ["string", "float32", "int8"]


def test_the_types_of_known_keys_are_those_that_the_gguf_package_writes(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_block_count(2)
    writer.add_rope_freq_base(1e4)
    writer.add_causal_attention(False)
    writer.add_token_types([1, 2])
    writer.add_token_scores([0.5, 1.0])
    writer.add_head_count([1, 2])
    writer.add_tensor("w", np.zeros(1, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    old = qk.load_gguf(tmp_path / "a.gguf").metadata
    plain = {str(k): v for k, v in old.items()}
    assert saved(tmp_path / "b.gguf", plain) == types_of(tmp_path / "a.gguf")


class Number(IntEnum):
    SEVEN = 7


class Name(str, Enum):
    A = "a.name"


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kinds", "back"),
    [
        (np.float32(0.5), ["float32"], 0.5),
        (np.float64(0.1), ["float64"], 0.1),
        (np.float16(0.5), ["float32"], 0.5),
        (np.int64(-7), ["int64"], -7),
        (np.uint8(7), ["uint8"], 7),
        (np.bool_(True), ["bool"], True),
        (np.str_("x"), ["string"], "x"),
        (Number.SEVEN, ["uint32"], 7),
        (gguf.LlamaFileType.MOSTLY_Q4_0, ["uint32"], 2),
        (Text("x"), ["string"], "x"),
        (Name.A, ["string"], "a.name"),
        ((1, 2), ["array", "int32"], [1, 2]),
        (range(3), ["array", "int32"], [0, 1, 2]),
        ([Number.SEVEN, 8], ["array", "int32"], [7, 8]),
        ([2**31, 0], ["array", "uint32"], [2**31, 0]),
        ([2**32, -1], ["array", "int64"], [2**32, -1]),
        ([2**64 - 1], ["array", "uint64"], [2**64 - 1]),
        (np.arange(3, dtype=np.int16), ["array", "int16"], [0, 1, 2]),
        (np.arange(3, dtype=">i8"), ["array", "int64"], [0, 1, 2]),
        (np.array([True, False]), ["array", "bool"], [True, False]),
        (np.array(["x", "yz"]), ["array", "string"], ["x", "yz"]),
        (np.array([0.5]), ["array", "float64"], [0.5]),
        (np.zeros(0, np.uint16), ["array"], []),
        (np.array(5, np.int8), ["int8"], 5),
        ([np.float32(0.5), 1], ["array", "float32"], [0.5, 1.0]),
        (float("inf"), ["float32"], float("inf")),
    ],
)
def test_numbers_and_texts_of_every_kind_are_taken(
    tmp_path: Path, value: object, kinds: list[str], back: object
) -> None:
    metadata: dict[Any, object] = {Name.A: value}
    assert saved(tmp_path / "a.gguf", metadata)["a.name"][: len(kinds)] == kinds
    assert qk.load_gguf(tmp_path / "a.gguf").metadata["a.name"] == back


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("a", 1e39, ValueError, r"metadata 'a' holds 1e\+39, which is past a float32"),
        ("a", [0.5, -1e300], ValueError, "metadata 'a' holds -1e"),
        ("a", [10**400, 0.5], ValueError, "metadata 'a' holds an integer past the floats"),
        ("a", 2**64, ValueError, "'a' holds an integer past 64 bits"),
        ("a", [2**64 - 1, -1], ValueError, "'a' holds an integer past 64 bits"),
        ("a", b"x", TypeError, "metadata 'a' holds bytes"),
        ("a", 1j, TypeError, "metadata 'a' holds complex"),
        ("a", np.zeros(2, complex), TypeError, "metadata 'a' is complex128"),
        ("a", np.zeros((2, 2)), TypeError, "metadata 'a' has 2 dimensions"),
        ("a", np.ma.masked_array([1, 2]), TypeError, "metadata 'a' is a masked array"),
        ("a", [[1], [2]], TypeError, "metadata 'a' holds list.*ggml reads no arrays of arrays"),
        ("a", [True, 1], TypeError, "metadata 'a' holds bool, int"),
        ("a", {1}, TypeError, "metadata 'a' holds set"),
        ("a", "\ud800", ValueError, "metadata 'a' holds .*, which is no text"),
        ("general.alignment", 2**40, ValueError, "general.alignment is 1099511627776"),
        ("general.alignment", 0, ValueError, "general.alignment is 0"),
        ("general.alignment", -32, ValueError, "general.alignment is -32"),
        ("general.alignment", True, ValueError, "general.alignment is True"),
        ("general.alignment", 32.0, ValueError, "general.alignment is 32.0"),
        (7, "x", TypeError, "a metadata key is a str, not int: 7"),
        (b"a", "x", TypeError, "a metadata key is a str, not bytes"),
        (None, "x", TypeError, "a metadata key is a str, not NoneType"),
        ("", "x", ValueError, "a metadata key is empty, which ggml does not read"),
        ("a\0b", "x", ValueError, r"metadata key 'a\\x00b' holds a null character"),
        ("x" * 65536, "x", ValueError, "has 65536 bytes; GGUF allows 65535"),
        (SURROGATES, "x", ValueError, "is no UTF-8, which the gguf package does not read"),
        ("GGUF.version", 3, ValueError, "is one that the gguf package does not read"),
    ],
)
def test_what_metadata_cannot_hold_is_refused_by_its_key(
    tmp_path: Path, name: Any, value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        qk.save_gguf(tmp_path / "a.gguf", W, {name: value})
    assert type(caught.value) is error
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_a_mapping(tmp_path: Path) -> None:
    for wrong in ([("a", 1)], "a", 7):
        with pytest.raises(TypeError, match="metadata is a mapping of keys to values, not"):
            qk.save_gguf(tmp_path / "a.gguf", W, wrong)  # type: ignore[arg-type]


def test_a_key_of_65535_bytes_is_read_by_all(tmp_path: Path) -> None:
    name = "é" * 32767 + "x"
    assert saved(tmp_path / "a.gguf", {name: 1}) == {name: ["uint32"]}
    assert dict(qk.load_gguf(tmp_path / "a.gguf").metadata) == {name: 1}


def test_texts_that_are_no_utf8_stay_as_they_are(tmp_path: Path) -> None:
    raw = image([key("a", "string", NOT_UTF8), array_key("b", "string", [b"\xff\xfe", b"ok"])])
    old = load(tmp_path / "a.gguf", raw)
    plain = {str(k): v for k, v in old.metadata.items()}
    for metadata in (old.metadata, dict(old.metadata), plain):
        qk.save_gguf(tmp_path / "b.gguf", {}, metadata)
        assert (tmp_path / "b.gguf").read_bytes()[: len(raw)] == raw


def test_metadata_of_a_file_is_copied_without_becoming_objects(tmp_path: Path) -> None:
    import tracemalloc

    old = load(tmp_path / "a.gguf", image([array_key("a", "float32", [0.5] * 500_000)], [f32()]))
    tracemalloc.start()
    try:
        qk.save_gguf(tmp_path / "b.gguf", old, old.metadata)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
    assert (tmp_path / "b.gguf").read_bytes() == (tmp_path / "a.gguf").read_bytes()
