#!/usr/bin/env bash
# Prints the ISAs that are worth compiling under sanitizers and for fuzzing: one of each kind of
# kernels, of those that this CPU runs. A list as CMake has them.
set -euo pipefail

isas="scalar;avx2;neon;neon_dotprod"
if grep -qw avx512_vnni /proc/cpuinfo; then
    isas+=";avx512vnni;amx_emulated"
fi
echo "$isas"
