"""The read-only passes: they read every byte, whatever the size, the alignment and the threads."""

from typing import Any

import numpy as np
import pytest

from qkernels import _core

NDArray = np.ndarray[Any, Any]
# Around 8-byte words, 64-byte lines, the widest steps of four vectors, and where threads join in.
SIZES = (0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1023, 1024, 1031, 65_537, 1_000_003)

read_pass: Any = _core.read_pass  # wrong calls do not type-check, and are not meant to


def sum_of_words(data: NDArray) -> int:
    padded = np.zeros(-(-data.size // 8) * 8, np.uint8)
    padded[: data.size] = data.ravel()
    return int(padded.view("<u8").sum(dtype=np.uint64))


@pytest.fixture(params=_core.read_variants())
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def noise() -> NDArray:
    return np.random.default_rng(0).integers(0, 256, 1_000_100, dtype=np.uint8)


def test_there_are_four_ways_to_read() -> None:
    assert _core.read_variants() == ["one_stream", "prefetch", "two_streams", "four_streams"]


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_the_sum_is_that_of_numpy(variant: str, noise: NDArray, threads: int) -> None:
    for size in SIZES:
        for offset in (0, 1, 13):
            data = noise[offset : offset + size]
            assert read_pass(data, variant, threads) == sum_of_words(data), (size, offset)


def test_every_byte_counts(variant: str) -> None:
    data = np.zeros(1031, np.uint8)
    for i in range(data.size):
        data[i] = 1
        assert read_pass(data, variant, 1) == 1 << 8 * (i % 8)
        data[i] = 0


def test_any_contiguous_shape_and_read_only_data_will_do(variant: str, noise: NDArray) -> None:
    data = noise[:3000].reshape(10, 3, 100)
    data.flags.writeable = False
    assert read_pass(data, variant, 2) == sum_of_words(data)


def test_wrong_calls_name_the_value() -> None:
    data = np.zeros((4, 64), np.uint8)
    with pytest.raises(TypeError, match="data has dtype float32; expected uint8"):
        read_pass(data.astype(np.float32), "one_stream", 1)
    with pytest.raises(TypeError, match="data must be a NumPy array or a torch tensor, not bytes"):
        read_pass(b"123", "one_stream", 1)
    with pytest.raises(ValueError, match="a stride of 64 bytes in dimension 0; C order has 32"):
        read_pass(data[:, :32], "one_stream", 1)
    with pytest.raises(ValueError, match="variant='fast' is not one of one_stream, prefetch"):
        read_pass(data, "fast", 1)
    with pytest.raises(TypeError, match="variant must be a str, not int"):
        read_pass(data, 1, 1)
    with pytest.raises(ValueError, match=r"threads=0 is outside 1\.\.256"):
        read_pass(data, "one_stream", 0)
