#!/usr/bin/env bash
# Fuzzes the reader, the kernels, the quantisers and the packing for CUDA, two at once, each for the
# given time, and prints executions and findings. Fails on a finding; the input that shows it stays under build/fuzz/<target>/.
#
#   scripts/fuzz.sh MINUTES
#
# Needs clang-16 and libclang-rt-16-dev, CMake and Ninja; CXX chooses another Clang.
set -euo pipefail

if [[ $# -ne 1 || ! $1 =~ ^[0-9]+(\.[0-9]+)?$ ]]; then
    echo "usage: $0 MINUTES" >&2
    exit 2
fi
cd "$(dirname "$0")/.."
build=build/fuzz
seconds=$(awk -v minutes="$1" 'BEGIN { s = int(minutes * 60); print (s > 0 ? s : 1) }')

cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DQK_PYTHON=OFF -DQK_WERROR=ON -DQK_FUZZ=ON \
    "-DQK_ONLY_ISAS=$(scripts/isas_to_sanitize.sh)" \
    -DCMAKE_CXX_COMPILER="${CXX:-clang++-16}" >/dev/null
cmake --build "$build" --target fuzz_reader fuzz_kernels fuzz_quantize fuzz_cuda_pack
python3 tests/fuzz/make_seeds.py "$build"

export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1

# Runs a target on the corpus that it goes on with next time; further arguments are its own.
fuzz() {
    local name=$1
    shift
    local directory=$build/$name
    mkdir -p "$directory/corpus" "$directory/findings"
    local log=$directory/log.txt status=0
    "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$directory/findings/" "$@" \
        "$directory/corpus" "$directory/seeds" >"$log" 2>&1 || status=$?
    local executions
    executions=$(awk '/stat::number_of_executed_units/ { print $2 }' "$log")
    if [[ $status -eq 0 ]]; then
        echo "fuzz_$name: ${executions:-0} executions in $seconds s, no finding"
    else
        echo "fuzz_$name: ${executions:-0} executions, a finding (status $status):"
        grep -vE '^(#|INFO)' "$log" | tail -40
        return 1
    fi
}

# Without -len_control: short inputs would choose short rows only.
status=0
(
    fuzz reader -max_len=4096 -dict=tests/fuzz/gguf.dict || status=1
    fuzz quantize -max_len=1024 -len_control=0 || status=1
    exit $status
) &
others=$!
fuzz kernels -max_len=2048 -len_control=0 || status=1
fuzz cuda_pack -max_len=1024 -len_control=0 || status=1
wait $others || status=1
exit $status
