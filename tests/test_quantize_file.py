"""`qkernels quantize`: which format every tensor takes, and what is written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from gguf_contents import matrix_of
from gguf_files import UNKNOWN, Tensor, f32, image
from qkernels import quantize_file
from qkernels.cli import app
from qkernels.imatrix import Imatrix
from qkernels.quantize_types import FILE_TYPES
from test_quantize_imatrix import legacy
from weights import IN_GGUF

NDArray = np.ndarray[Any, Any]
N, K, NARROW = 6, 512, 96


def weights(*shape: int, seed: int = 0) -> NDArray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


TENSORS: dict[str, NDArray] = {
    "token_embd.weight": weights(10, K, seed=1),
    "blk.0.attn_norm.weight": weights(K, seed=2),
    "blk.0.attn_q.weight": weights(N, K, seed=3),
    "blk.0.attn_k.weight": weights(N, NARROW, seed=4).astype(np.float16),
    "blk.0.attn_v.weight": weights(N, 40, seed=5),
    "blk.0.ffn_gate_inp.weight": weights(4, K, seed=6),
    "blk.0.ffn_up_exps.weight": weights(3, N, K, seed=7),
    "blk.0.ssm_conv1d.weight": weights(N, 4, seed=8),
    "output.weight": weights(10, K, seed=9),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    metadata = {"general.architecture": "llama", "general.file_type": 0, "a.list": ["x", "y"]}
    qk.save_gguf(folder / "model.gguf", TENSORS, metadata)
    return folder / "model.gguf"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "small.gguf"


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["quantize", *map(str, arguments)], env={"COLUMNS": "160"})


def formats_of(path: Path) -> dict[str, str]:
    return {t.name: t.tensor_type.name.lower() for t in gguf.GGUFReader(path).tensors}


def test_each_tensor_takes_the_format_that_llama_cpp_gives_it(path: Path, out: Path) -> None:
    result = invoke(path, out, "--type", "Q4_K")
    assert (result.exit_code, result.stderr) == (0, "")
    assert formats_of(out) == {
        "token_embd.weight": "q4_k",
        "blk.0.attn_norm.weight": "f32",
        "blk.0.attn_q.weight": "q4_k",
        "blk.0.attn_k.weight": "q5_0",  # 96 is no multiple of 256
        "blk.0.attn_v.weight": "f16",  # nor 40 of 32
        "blk.0.ffn_gate_inp.weight": "f32",
        "blk.0.ffn_up_exps.weight": "q4_k",
        "blk.0.ssm_conv1d.weight": "f32",
        "output.weight": "q6_k",
    }


@pytest.mark.parametrize("fmt", sorted({*FILE_TYPES} & {*IN_GGUF}))
def test_the_blocks_are_those_that_quantize_makes(path: Path, out: Path, fmt: str) -> None:
    assert invoke(path, out, "--type", fmt).exit_code == 0
    for tensor in gguf.GGUFReader(out).tensors:
        source = TENSORS[tensor.name]
        raw = np.ascontiguousarray(tensor.data).view(np.uint8)
        kept = source.ndim == 1 or tensor.tensor_type.name.lower() == source.dtype.name
        made = source if kept else qk.quantize(source, tensor.tensor_type).data
        expected = np.ascontiguousarray(made).view(np.uint8)
        np.testing.assert_array_equal(raw.reshape(-1), expected.reshape(-1))


def test_metadata_is_kept_and_says_what_was_done(path: Path, out: Path) -> None:
    assert invoke(path, out, "--type", "iq4_xs").exit_code == 0
    fields = {key: field.contents() for key, field in gguf.GGUFReader(out).fields.items()}
    assert fields["general.architecture"] == "llama"
    assert fields["a.list"] == ["x", "y"]
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_IQ4_XS
    assert fields["general.quantization_version"] == gguf.GGML_QUANT_VERSION


def test_padded_rows_keep_their_format_and_their_k(path: Path, out: Path) -> None:
    result = invoke(path, out, "--type", "q4_k", "--pad")
    assert result.exit_code == 0
    assert "2 with rows filled up with zeros: only qkernels reads them" in result.stdout
    with qk.load_gguf(out) as file:
        for name in ("blk.0.attn_k.weight", "blk.0.attn_v.weight"):
            found = matrix_of(file, name)
            assert (found.fmt, found.shape) == ("q4_k", TENSORS[name].shape)
            expected = qk.quantize(TENSORS[name], "q4_k", pad=True)
            np.testing.assert_array_equal(found.data, expected.data)


def test_a_padded_file_is_quantised_again_by_its_true_k(path: Path, out: Path) -> None:
    assert invoke(path, out, "--type", "q8_0", "--pad").exit_code == 0
    again = out.with_name("again.gguf")
    assert invoke(out, again, "--type", "q4_0", "--keep", "*attn_k*=q4_k").exit_code == 0
    with qk.load_gguf(again) as file:
        assert matrix_of(file, "blk.0.attn_v.weight").fmt == "f16"
        assert matrix_of(file, "blk.0.attn_v.weight").shape == (N, 40)
        assert [key for key in file.metadata if key.startswith("qkernels.k")] == []


def test_importance_weighs_the_columns_of_each_expert(path: Path, out: Path) -> None:
    one, each = np.abs(weights(K, seed=20)), np.abs(weights(3, K, seed=21))
    matrix = out.parent.parent / "m.dat"
    entries = {"blk.0.attn_q.weight": (1, one), "blk.0.ffn_up_exps.weight": (1, each)}
    matrix.write_bytes(legacy(entries))
    result = invoke(path, out, "--type", "q4_k", "--imatrix", matrix)
    assert result.exit_code == 0, result.stderr
    assert "4 of 6 are quantised without importance" in result.stdout
    with qk.load_gguf(out) as file:
        assert file.metadata["quantize.imatrix.file"] == str(matrix)
        assert file.metadata["quantize.imatrix.entries_count"] == 2
        for name, imatrix in [("blk.0.attn_q.weight", one), ("blk.0.ffn_up_exps.weight", each)]:
            expected = qk.quantize(TENSORS[name], "q4_k", imatrix=imatrix)
            np.testing.assert_array_equal(matrix_of(file, name).data, expected.data)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"blk.7.attn_q.weight": np.ones(K)}, "none of its 1 entries is a tensor that"),
        ({"blk.0.attn_q.weight": np.ones(7)}, "'blk.0.attn_q.weight' has 7 values; the tensor is"),
    ],
)
def test_an_importance_matrix_of_another_model_is_refused(
    path: Path, out: Path, entries: dict[str, NDArray], message: str
) -> None:
    imatrix = Imatrix(Path("m.dat"), entries)
    with qk.load_gguf(path) as file, pytest.raises(ValueError, match=message):
        quantize_file.quantize_file(file, out, "q4_k", imatrix=imatrix)
    assert list(out.parent.iterdir()) == []


def test_the_summary_has_bytes_and_errors_by_type(path: Path, out: Path) -> None:
    found = json.loads(invoke(path, out, "--type", "q8_0", "--json").stdout)
    assert found["bytes_before"] == path.stat().st_size
    assert found["bytes_after"] == out.stat().st_size
    totals = {total["type"]: total for total in found["totals"]}
    converted = [name for name, fmt in formats_of(out).items() if fmt == "q8_0"]
    assert totals["q8_0"]["tensors"] == len(converted)
    assert totals["q8_0"]["weights"] == sum(TENSORS[name].size for name in converted)
    assert totals["f32"]["error"] is None
    with qk.load_gguf(out) as file:
        made = {name: np.asarray(matrix_of(file, name).dequantize()) for name in converted}
    squares = sum(float((TENSORS[name].astype("f8") ** 2).sum()) for name in converted)
    wrong = sum(float(((made[name] - TENSORS[name].astype("f8")) ** 2).sum()) for name in converted)
    assert totals["q8_0"]["error"] == pytest.approx(math.sqrt(wrong / squares), rel=1e-4)
    table = invoke(path, out, "--type", "q8_0").stdout
    assert [f"{totals['q8_0']['error']:.2%}"] == [w for w in table.split() if w.endswith("%")][:1]
    assert "1 of k=40, which q8_0's blocks do not divide: f16" in table


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_and_threads_change_nothing(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    with qk.load_gguf(path) as file:
        quantize_file.quantize_file(file, out, "q4_k")
        whole = out.read_bytes()
        monkeypatch.setattr(quantize_file, "PIECE", 4 * K)
        told: list[int] = []
        expected: list[int] = []
        quantize_file.quantize_file(
            file, out, "q4_k", threads=threads, expect=expected.append, advance=told.append
        )
    assert out.read_bytes() == whole
    assert expected == [sum(told)] == [sum(array.size for array in TENSORS.values())]


def test_a_tensor_of_an_unknown_type_is_copied(tmp_path: Path, out: Path) -> None:
    raw = bytes(range(96))
    tensors = [Tensor("odd", (7,), UNKNOWN, raw), f32("v")]
    (tmp_path / "a.gguf").write_bytes(image(tensors=tensors))
    result = invoke(tmp_path / "a.gguf", out, "--type", "q8_0")
    assert result.exit_code == 0, result.stderr
    odd = qk.load_gguf(out)["odd"]
    assert isinstance(odd, qk.UnreadTensor)
    assert (odd.type_id, odd.shape, odd.data.tobytes()) == (UNKNOWN, (7,), raw)


def test_a_tensor_at_fault_is_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(image(tensors=[f32("v"), f32("odd", offset=1 << 40)]))
    result = invoke(tmp_path / "a.gguf", out, "--type", "q8_0")
    assert (result.exit_code, out.exists()) == (1, False)
    assert "tensor 'odd' has offset 1099511627776 into the data" in result.stderr
