#!/usr/bin/env bash
# clang-tidy over every C++ source and, through them, every header; kernels once an ISA.
set -euo pipefail
cd "$(dirname "$0")/.."

pybind11_ROOT=$(python -m pybind11 --cmakedir)
export pybind11_ROOT
cmake --preset tidy
run-clang-tidy.py -p build/tidy -quiet "$@"
