# The instruction sets that kernels are compiled for, worst first: the dispatcher takes the last
# one that the CPU has. An ISA is one header, src/isa/<name>.h, and one line here.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    set(QK_ISAS scalar avx2 avx512vnni)
else()
    set(QK_ISAS scalar)
endif()

set(QK_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(QK_FLAGS_avx512vnni
    -mavx2
    -mfma
    -mf16c
    -mavx512f
    -mavx512bw
    -mavx512vl
    -mavx512dq
    -mavx512vnni
    -mprefer-vector-width=512
)
