"""Files opened with pack=True: which tensors are packed, that nothing else changes, and the bar."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qkernels as qk
from gguf_contents import array_of, matrix_of
from gguf_files import NEVER_READ, Q4_0, Q8_0, Tensor, f32, image, key
from qkernels import _core, _packing
from weights import random_weights

N, K = 40, 512
KINDS = {kind: fmt for fmt in qk.formats() if (kind := _core.format_info(fmt).gguf_id) is not None}


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def matrix(name: str, type_id: int, n: int = N) -> Tensor:
    raw = random_weights(KINDS[type_id], n, K, seed=len(name))
    return Tensor(name, (K, n), type_id, raw.tobytes())


def tensors_of_every_format() -> list[Tensor]:
    return [matrix(fmt, type_id) for type_id, fmt in KINDS.items()]


@pytest.mark.parametrize("mmap", [True, False], ids=["mapped", "copied"])
def test_every_matrix_is_packed_as_by_itself(path: Path, mmap: bool) -> None:
    path.write_bytes(image([], tensors_of_every_format()))
    plain = qk.load_gguf(path)
    file = qk.load_gguf(path, mmap=mmap, pack=True, threads=2)
    assert list(file) == list(plain) == list(KINDS.values())
    x = np.random.default_rng(0).standard_normal((3, K), np.float32)
    for name, got in file.items():
        stored = matrix_of(plain, name)
        assert bytes(np.asarray(file.unpacked(name).data)) == bytes(np.asarray(stored.data))
        assert isinstance(got, qk.PackedTensor)
        assert file[name] is got
        assert (got.fmt, got.shape, got.isa) == (name, (N, K), _core.isa())
        alone = stored.pack()
        np.testing.assert_array_equal(qk.gemm(got, x), qk.gemm(alone, x))
        np.testing.assert_array_equal(got.unpack().data, alone.unpack().data)


def test_what_is_no_matrix_stays_as_it_is(path: Path) -> None:
    expert = random_weights("q4_0", 2 * N, K)
    tensors = [
        Tensor("experts", (K, N, 2), Q4_0, expert.tobytes()),
        Tensor("vector", (K,), Q8_0, random_weights("q8_0", 1, K).tobytes()),
        Tensor("unread", (256, 1), NEVER_READ, bytes(144)),
        f32("floats"),
        matrix("matrix", Q4_0),
    ]
    path.write_bytes(image([], tensors))
    file = qk.load_gguf(path, pack=True)
    assert matrix_of(file, "experts").shape == (2, N, K)
    assert matrix_of(file, "vector").shape == (K,)
    assert array_of(file, "floats").shape == (32,)
    assert isinstance(file["unread"], qk.UnreadTensor)
    assert isinstance(file["matrix"], qk.PackedTensor)


def test_embeddings_are_looked_up_in_panels_and_in_blocks(path: Path) -> None:
    path.write_bytes(image([], [matrix("token_embd.weight", Q8_0)]))
    file = qk.load_gguf(path, pack=True)
    packed = file["token_embd.weight"]
    assert isinstance(packed, qk.PackedTensor)
    expected = matrix_of(qk.load_gguf(path), "token_embd.weight").dequantize()
    for weights in (packed, file.unpacked("token_embd.weight")):
        rows = qk.get_rows(weights, [3, 0])
        np.testing.assert_array_equal(rows, np.asarray(expected)[[3, 0]])
    with pytest.raises(KeyError, match=r"near names: 'token_embd\.weight'"):
        file.unpacked("token_embed.weight")


def test_a_padded_depth_is_packed_as_it_is(path: Path) -> None:
    path.write_bytes(image([key("qkernels.k.w", "uint32", 500)], [matrix("w", Q4_0)]))
    weights = qk.load_gguf(path, pack=True)["w"]
    assert isinstance(weights, qk.PackedTensor)
    assert weights.shape == (N, 500)


def test_packed_matrices_outlive_their_file(path: Path) -> None:
    path.write_bytes(image([], [matrix("w", Q4_0)]))
    with qk.load_gguf(path, pack=True) as file:
        weights = file["w"]
    y = np.asarray(weights @ np.ones(K, np.float32))
    assert np.isfinite(y).all()
    for look_up in (file.__getitem__, file.unpacked):
        with pytest.raises(ValueError, match="is closed"):
            look_up("w")


@pytest.mark.parametrize("pack", [False, True])
def test_a_number_of_threads_out_of_range_is_refused(path: Path, pack: bool) -> None:
    path.write_bytes(image())
    assert len(qk.load_gguf(path, pack=pack, threads=256)) == 0
    with pytest.raises(ValueError, match="threads=0 is outside"):
        qk.load_gguf(path, pack=pack, threads=0)


# The bar


def packed_on(stderr: io.StringIO, path: Path, monkeypatch: pytest.MonkeyPatch, step: float) -> str:
    """What packing eight matrices writes, on a clock that goes on by `step` at each look."""
    path.write_bytes(image([], [matrix(f"w{i}", Q4_0) for i in range(8)]))
    looks = itertools.count()
    with monkeypatch.context() as context:
        context.setattr("tqdm.std.time", lambda: step * next(looks))
        context.setattr(sys, "stderr", stderr)
        assert len(qk.load_gguf(path, pack=True)) == 8
    assert (next(looks) > 8) == stderr.isatty()
    return stderr.getvalue()


def test_a_bar_appears_where_packing_takes_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = packed_on(Terminal(), path, monkeypatch, step=0.2)
    assert "packing" in shown
    assert "%" in shown
    # The first one comes after half a second and so is of a part; nothing is left in the end.
    assert " 0%" not in shown
    assert shown.endswith("\r")


def test_no_bar_appears_where_packing_is_quick(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packed_on(Terminal(), path, monkeypatch, step=0.01) == ""


def test_no_bar_appears_where_nobody_looks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packed_on(io.StringIO(), path, monkeypatch, step=0.2) == ""
    monkeypatch.setattr(sys, "stderr", None)
    assert len(qk.load_gguf(path, pack=True)) == 8


def test_a_bar_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm

    monkeypatch.setattr(sys, "stderr", Terminal())
    before = tqdm.tqdm.monitor
    with _packing._progress(8) as advance:
        advance(8)
    assert tqdm.tqdm.monitor is before


def test_packing_without_a_terminal_does_not_import_the_bar(path: Path) -> None:
    path.write_bytes(image([], [matrix("w", Q4_0)]))
    code = (
        "import sys, qkernels; qkernels.load_gguf(sys.argv[1], pack=True);"
        " print('tqdm' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert found.stdout == "False\n"
