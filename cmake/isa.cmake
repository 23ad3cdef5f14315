# The instruction sets that kernels are compiled for, worst first: the dispatcher takes the last
# one that the CPU has. An ISA is one header, src/isa/<name>.h, and one line here: its name and
# the compiler's flags for it. One with a BASE, an ISA above it, adds tiles to that one's kernels
# and its own flags to that one's. One LIKE another has other products of integers alone, and takes
# what needs none of them from there, if that one is built. One FOR_TESTS stands in for another on
# CPUs that lack that one: it is built with QK_TEST_ISAS, or where QK_ONLY_ISAS names it.
set(QK_ISAS)
macro(qk_isa name)
    cmake_parse_arguments(QK_ISA "FOR_TESTS" "BASE;LIKE" "" ${ARGN})
    set(QK_BASE_${name} ${QK_ISA_BASE})
    set(QK_LIKE_${name} ${name})
    if(QK_ISA_LIKE IN_LIST QK_ISAS)
        set(QK_LIKE_${name} ${QK_LIKE_${QK_ISA_LIKE}})
    endif()
    set(QK_FLAGS_${name} ${QK_FLAGS_${QK_ISA_BASE}} ${QK_ISA_UNPARSED_ARGUMENTS})
    if(
        (
            ${name} IN_LIST QK_ONLY_ISAS
            OR (NOT QK_ONLY_ISAS AND (QK_TEST_ISAS OR NOT QK_ISA_FOR_TESTS))
        )
        AND (NOT QK_ISA_BASE OR QK_ISA_BASE IN_LIST QK_ISAS)
    )
        list(APPEND QK_ISAS ${name})
    endif()
endmacro()

# gersemi: off
qk_isa(scalar -DQK_NO_UNROLL)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set(avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
    qk_isa(avx2 -mavx2 -mfma -mf16c)
    qk_isa(avxvnni LIKE avx2 -mavx2 -mfma -mf16c -mavxvnni)
    qk_isa(avxvnni_evex FOR_TESTS LIKE avx2 -mavx2 -mfma -mf16c -mavx512f -mavx512vl -mavx512vnni)
    qk_isa(avx512vnni -mavx2 -mfma -mf16c ${avx512} -mavx512vnni)
    qk_isa(amx_emulated FOR_TESTS BASE avx512vnni)
    qk_isa(amx_bf16 BASE avx512vnni -mamx-tile -mamx-bf16)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    qk_isa(neon -march=armv8-a)
    qk_isa(neon_dotprod LIKE neon -march=armv8.2-a+dotprod)
    qk_isa(neon_i8mm LIKE neon -march=armv8.2-a+dotprod+i8mm)
endif()
# gersemi: on
