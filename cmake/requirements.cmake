# What this cannot be built with or on, said in a sentence before anything is compiled. Depends on
# what project() finds out alone, so that `cmake -D... -P` runs it too.
set(QK_GNU_AT_LEAST 12) # __builtin_shufflevector
set(QK_CLANG_AT_LEAST 16)
set(QK_NVCC_AT_LEAST 12.8) # compute capability 12.0, --compress-mode
set(qk_wanted "g++ ${QK_GNU_AT_LEAST} or clang++ ${QK_CLANG_AT_LEAST} and later do")

if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    message(FATAL_ERROR "qkernels is built on Linux only so far, and this is ${CMAKE_SYSTEM_NAME}.")
endif()

set(qk_compiler "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${CMAKE_CXX_COMPILER}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set(qk_at_least ${QK_GNU_AT_LEAST})
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    set(qk_at_least ${QK_CLANG_AT_LEAST})
else()
    message(
        FATAL_ERROR
        "This C++ compiler does not build qkernels so far: ${qk_compiler}; ${qk_wanted}: set CXX."
    )
endif()
if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS qk_at_least)
    message(
        FATAL_ERROR
        "This C++ compiler is too old to build qkernels: ${qk_compiler}; ${qk_wanted}: set CXX."
    )
endif()
