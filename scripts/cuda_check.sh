#!/usr/bin/env bash
# Everything that needs a CUDA device, builds included, in under nine minutes: the tests on the
# device, compute-sanitizer, what calls do under torch, and times beside their targets.
#
#   scripts/cuda_check.sh [--seconds 530] [--output build/cuda-check/result.json]
#
# Prints and writes one JSON object. Needs Python, a C++ compiler and CMake; nvcc where there is one,
# and otherwise NVIDIA's packages from an index. Leaves with 0 when all parts that could run passed,
# with 1 when one failed, and with 3 where there is no device. Missed targets are told, and fail
# nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHONPATH=scripts${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m cuda_check "$@"
