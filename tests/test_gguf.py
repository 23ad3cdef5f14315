"""GGUF files: what is in them comes out, lazily."""

import time
import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import qkernels as qk
from gguf_contents import array_of, matrix_of
from gguf_files import (
    BF16,
    BYTES_32,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    Q4_K,
    Q8_0,
    Tensor,
    array_key,
    f32,
    image,
    key,
    load,
)

NDArray = np.ndarray[Any, Any]

SCALARS: dict[str, list[Any]] = {
    "uint8": [0, 255],
    "int8": [-128, 127],
    "uint16": [0, 65535],
    "int16": [-32768, 32767],
    "uint32": [0, 2**32 - 1],
    "int32": [-(2**31), 2**31 - 1],
    "float32": [0.0, -1.5, 3.4028234663852886e38],
    "bool": [False, True],
    "string": ["", "text", "größer \N{SNOWMAN}"],
    "uint64": [0, 2**64 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float64": [0.1, -1e300],
}


@pytest.fixture(params=[True, False], ids=["mapped", "copied"])
def mmap(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_every_scalar_value_comes_back(path: Path, mmap: bool) -> None:
    pairs = {f"{kind}.{i}": (kind, v) for kind, vs in SCALARS.items() for i, v in enumerate(vs)}
    keys = [key(name, kind, value) for name, (kind, value) in pairs.items()]
    with load(path, image(keys), mmap=mmap) as file:
        assert list(file.metadata) == list(pairs)
        for name, (_, value) in pairs.items():
            assert file.metadata[name] == value
            assert type(file.metadata[name]) is type(value)


def test_every_array_value_comes_back_as_a_list(path: Path, mmap: bool) -> None:
    keys = [array_key(kind, kind, values) for kind, values in SCALARS.items()]
    keys += [array_key(f"empty.{kind}", kind, []) for kind in SCALARS]
    with load(path, image(keys), mmap=mmap) as file:
        for kind, values in SCALARS.items():
            got = file.metadata[kind]
            assert isinstance(got, list)
            assert got == values
            assert [type(v) for v in got] == [type(v) for v in values]
            assert file.metadata[f"empty.{kind}"] == []


def test_values_equal_those_of_the_gguf_package(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    for kind, values in SCALARS.items():
        for i, value in enumerate(values):
            if value == "":
                continue  # the writer drops empty strings
            getattr(writer, f"add_{kind}")(f"{kind}.{i}", value)
    writer.add_array("strings", ["a", "bc", "größer"])
    writer.add_array("ints", [1, -2, 3])
    writer.add_array("floats", [0.5, -2.0])
    writer.add_array("bools", [True, False])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fields = gguf.GGUFReader(path).fields
    with qk.load_gguf(path) as file:
        assert {f"GGUF.{n}" for n in ("version", "tensor_count", "kv_count")} == (
            set(fields) - set(file.metadata)
        )
        for name, value in file.metadata.items():
            assert value == fields[name].contents(), name


@pytest.mark.parametrize("fmt", ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"])
def test_matrices_equal_those_of_the_gguf_package(path: Path, mmap: bool, fmt: str) -> None:
    type_id = gguf.GGMLQuantizationType[fmt.upper()]
    dense = np.random.default_rng(1).standard_normal((3, 5, 64), np.float32)
    quantised = gguf.quants.quantize(dense, type_id)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("matrix", quantised[0], raw_dtype=type_id)
    writer.add_tensor("experts", quantised, raw_dtype=type_id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = gguf.quants.dequantize(quantised, type_id)
    with qk.load_gguf(path, mmap=mmap) as file:
        matrix, experts = matrix_of(file, "matrix"), matrix_of(file, "experts")
    assert (matrix.fmt, matrix.shape) == (fmt, (5, 64))
    assert (experts.fmt, experts.shape) == (fmt, (3, 5, 64))
    np.testing.assert_array_equal(matrix.dequantize(), expected[0])
    np.testing.assert_array_equal(experts.data, quantised.view(np.uint8).reshape(3, 5, -1))


@pytest.mark.parametrize(
    ("type_id", "dtype"),
    [(F32, "f4"), (F16, "f2"), (F64, "f8"), (I8, "i1"), (I16, "i2"), (I32, "i4"), (I64, "i8")],
)
def test_vectors_of_scalars_are_read_only_arrays(
    path: Path, mmap: bool, type_id: int, dtype: str
) -> None:
    values = np.arange(-3, 4).astype(dtype)
    file = load(path, image([], [Tensor("v", (7,), type_id, values.tobytes())]), mmap=mmap)
    got = array_of(file, "v")
    assert got.dtype == values.dtype
    np.testing.assert_array_equal(got, values)
    assert not got.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        got.flags.writeable = True


def test_a_bf16_vector_decodes_to_float32(path: Path) -> None:
    values = np.array([1.0, -2.5, np.inf, 1e-40], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    file = load(path, image([], [Tensor("v", (4,), BF16, bits.tobytes())]))
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    vector = matrix_of(file, "v")
    assert (vector.fmt, vector.shape) == ("bf16", (4,))
    np.testing.assert_array_equal(vector.dequantize(), expected)


def test_integers_of_any_rank_and_floats_of_four_are_arrays(path: Path) -> None:
    ints = np.arange(24, dtype=np.int32)
    halves = np.arange(24, dtype=np.float16)
    tensors = [
        Tensor("ints", (4, 3, 2), I32, ints.tobytes()),
        Tensor("patches", (4, 3, 2, 1), F16, halves.tobytes()),
    ]
    file = load(path, image([], tensors))
    np.testing.assert_array_equal(array_of(file, "ints"), ints.reshape(2, 3, 4))
    np.testing.assert_array_equal(array_of(file, "patches"), halves.reshape(1, 2, 3, 4))


def test_a_quantised_vector_is_a_vector(path: Path) -> None:
    row = bytes(range(68))
    vector = matrix_of(load(path, image([], [Tensor("v", (64,), Q8_0, row)])), "v")
    assert vector.shape == (64,)
    assert bytes(np.asarray(vector.data)) == row


@pytest.mark.parametrize("ne", [(32, 1, 1, 2), (32, 2, 1, 1, 1), (32, 1, 2, 1, 1, 1)])
def test_quantised_tensors_of_many_dimensions_keep_them(path: Path, ne: tuple[int, ...]) -> None:
    file = load(path, image([], [Tensor("v", ne, Q8_0, bytes(68))]))
    assert matrix_of(file, "v").shape == ne[::-1]


def test_a_padded_row_has_its_true_depth(path: Path) -> None:
    tensors = [Tensor("w", (512, 2), Q4_K, bytes(576))]
    for kind in ("uint32", "int64", "uint64", "uint16"):
        file = load(path, image([key("qkernels.k.w", kind, 300)], tensors))
        weights = matrix_of(file, "w")
        assert weights.shape == (2, 300)
        assert weights.row_bytes == 288


def test_versions_2_and_3_read_alike(path: Path) -> None:
    for version in (2, 3):
        file = load(path, image([key("a", "uint8", 1)], [f32()], version=version))
        assert file.metadata["a"] == 1
        assert array_of(file, "t").tobytes() == BYTES_32


@pytest.mark.parametrize("alignment", [1, 2, 32, 64, 4096, 1 << 20])
def test_any_power_of_two_aligns(path: Path, alignment: int) -> None:
    tensors = [Tensor("odd", (3,), I8, b"abc"), f32()]
    keys = [key("general.alignment", "uint32", alignment)]
    file = load(path, image(keys, tensors, alignment=alignment))
    assert array_of(file, "odd").tobytes() == b"abc"
    np.testing.assert_array_equal(array_of(file, "t"), np.frombuffer(BYTES_32, np.float32))


def test_unusual_files_load(path: Path) -> None:
    assert len(load(path, image())) == 0
    shared = [f32("a", offset=0), f32("b", offset=0, data=b"")]
    assert array_of(load(path, image([], shared)), "b").tobytes() == BYTES_32
    assert list(load(path, image([], [f32("")]))) == [""]
    assert load(path, image([key("", "bool", 1)])).metadata[""] is True
    assert len(load(path, image([], [f32()]) + bytes(1000))) == 1
    # Depths of tensors that the file does not have harm nobody.
    assert len(load(path, image([key("qkernels.k.gone", "string", "?")], [f32()]))) == 1


def test_text_that_is_not_utf8_survives(path: Path) -> None:
    raw = b"\xff\xfeab\xed\xa0\x80"
    keys = [key(raw, "string", raw), array_key("list", "string", [raw, b"ok"])]
    file = load(path, image(keys, [f32(), Tensor(raw, (32,), F32, BYTES_32)]))
    name = raw.decode("utf-8", "surrogateescape")
    assert list(file.metadata) == [name, "list"]
    assert file.metadata[name] == name
    assert file.metadata["list"] == [name, "ok"]
    assert name in file
    assert array_of(file, name).tobytes() == BYTES_32
    assert "\ud800" not in file  # no bytes decode to it


# Opening is lazy and quick.


def test_opening_converts_no_metadata(path: Path) -> None:
    path.write_bytes(image([array_key("tokens", "string", [f"token {i}" for i in range(50_000)])]))
    qk.load_gguf(path).close()
    tracemalloc.start()
    try:
        file = qk.load_gguf(path)
        opened, _ = tracemalloc.get_traced_memory()
        tokens = file.metadata["tokens"]
        asked, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert opened < 20_000
    assert asked > 1_000_000
    assert file.metadata["tokens"] is tokens


@pytest.mark.model
def test_the_real_model_opens_in_3_ms(model_path: Path) -> None:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        file = qk.load_gguf(model_path)
        times.append(time.perf_counter() - start)
        file.close()
    assert np.median(times) < 3e-3


@pytest.mark.model
@pytest.mark.slow
def test_the_real_model_reads_as_the_gguf_package_reads_it(model_path: Path) -> None:
    reader = gguf.GGUFReader(model_path)
    with qk.load_gguf(model_path) as file:
        for name, value in file.metadata.items():
            assert value == reader.fields[name].contents(), name
        assert list(file) == [tensor.name for tensor in reader.tensors]
        for tensor in reader.tensors:
            got = file[tensor.name]
            raw = got.data if isinstance(got, qk.QTensor) else got
            np.testing.assert_array_equal(
                np.asarray(raw).view(np.uint8), tensor.data.view(np.uint8)
            )
