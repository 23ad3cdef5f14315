#!/usr/bin/env bash
# The C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, and of the Python suite all
# but what tests/unsanitized.py names.
#
#   scripts/sanitized_tests.sh [pytest's arguments]
#
# Needs what `python -m pip install ".[test,dev]"` brings, and GCC. Leaks are looked for in the C++
# tests only: an interpreter leaves its own memory behind when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

pybind11_ROOT=$(python -m pybind11 --cmakedir)
export pybind11_ROOT
cmake --preset asan-ubsan "-DQK_ONLY_ISAS=$(scripts/isas_to_sanitize.sh)"
cmake --build --preset asan-ubsan
ctest --preset asan-ubsan

# The package as it would be installed, with the extension just built.
package=$PWD/build/asan-ubsan/python/qkernels
rm -rf "$package"
mkdir -p "$package"
cp -r python/qkernels/. build/asan-ubsan/src/_core.*.so "$package"

# The extension's sanitizers have to be there before the interpreter that loads it starts, and with
# them the library whose exceptions they intercept.
library() { "${CXX:-c++}" -print-file-name="lib$1.so"; }
preload="$(library asan):$(library ubsan):$(library stdc++)"

PYTHONPATH=${package%/*} PYTHONMALLOC=malloc QKERNELS_SANITIZED=1 \
ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1:allocator_may_return_null=1 \
UBSAN_OPTIONS=print_stacktrace=1 LD_PRELOAD=$preload python -m pytest "$@"
