"""What a file may cost to open: a second of processor time, 64 MiB beyond its own size."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

import qkernels as qk
from gguf_files import F32, Tensor, f32, image, key
from gguf_wrong_head import WRONG_HEADS
from gguf_wrong_tensors import WRONG_TENSORS

SAMPLE = [
    "a hole",
    "2^63 - 1 keys",
    "2^64 - 1 tensors",
    "as many keys as may be, of zeros",
    "as many tensors as may be, of zeros",
    "100,000 times one key",
    "a string past the metadata",
    "an array of 2^63 string values",
    "arrays in arrays, 10,000 deep, the last one missing",
]
MANY = 300_000  # keys, and tensors

# Opens files under a limit of 64 MiB beyond what the process has and the file's size. An allocation
# past it is a MemoryError.
OPEN_UNDER_LIMITS = """
import os, resource, sys
from qkernels import load_gguf  # whose module is imported before the limit

def address_space():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

for path in sys.argv[1:]:
    for mmap in (True, False):
        limit = address_space() + os.path.getsize(path) + (64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            file = load_gguf(path, mmap=mmap)
            print(len(file), len(file.metadata))
            del file
        except ValueError:
            print("refused")
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def open_under_limits(*paths: Path) -> list[str]:
    """What became of each file, mapped and copied."""
    command = [sys.executable, "-c", OPEN_UNDER_LIMITS, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def processor_time(path: Path) -> float:
    start = time.process_time()
    with qk.load_gguf(path) as file:
        assert len(file) + len(file.metadata) > 0
    return time.process_time() - start


def test_wrong_files_are_refused_within_64_mib_beyond_their_size(tmp_path: Path) -> None:
    wrong = WRONG_HEADS | WRONG_TENSORS
    paths = [tmp_path / f"{i}.gguf" for i in range(len(SAMPLE))]
    for path, name in zip(paths, SAMPLE, strict=True):
        wrong[name].write(path)
    assert open_under_limits(*paths) == ["refused"] * 2 * len(SAMPLE)


def test_many_keys_and_tensors_open_within_the_limits(tmp_path: Path) -> None:
    keys, tensors = tmp_path / "keys.gguf", tmp_path / "tensors.gguf"
    keys.write_bytes(image([key(str(i), "bool", 1) for i in range(MANY)]))
    table = [f32("0"), *(Tensor(str(i), (1,), F32, b"", offset=0) for i in range(1, MANY))]
    tensors.write_bytes(image([], table))
    assert processor_time(keys) < 1
    assert processor_time(tensors) < 1
    assert open_under_limits(keys, tensors) == [f"0 {MANY}"] * 2 + [f"{MANY} 0"] * 2


@pytest.mark.parametrize("last", [b"same", b"%04d"])
def test_long_names_that_are_alike_cost_no_more_than_reading_them(
    tmp_path: Path, last: bytes
) -> None:
    path = tmp_path / "names.gguf"
    count, common = 60_000, b"x" * 900
    names = [common + (last % i if b"%" in last else last) for i in range(count)]
    path.write_bytes(image([key(name, "bool", 1) for name in names]))
    start = time.process_time()
    if b"%" in last:
        qk.load_gguf(path).close()
    else:
        with pytest.raises(ValueError, match="occurs twice"):
            qk.load_gguf(path)
    assert time.process_time() - start < 1


def test_an_unknown_name_is_looked_for_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "names.gguf"
    path.write_bytes(image([key(f"{'ab' * 99}{i:06}", "bool", 1) for i in range(5000)]))
    with qk.load_gguf(path) as file:
        start = time.process_time()
        with pytest.raises(KeyError, match="no key"):
            file.metadata["ba" * 100]
        assert time.process_time() - start < 1
