# The CUDA kernels: a shared object of their own, _cuda, that the Python package loads when it is
# asked for a device. QK_CUDA=AUTO builds it for the devices of this machine where there is an nvcc,
# ON demands an nvcc and builds it for all devices, OFF never does. A list of QK_CUDA_ARCHITECTURES
# is what is built for instead, whether or not there is a device.
set(QK_CUDA
    AUTO
    CACHE STRING
    "Build the CUDA kernels: AUTO (for the devices there are, with an nvcc), ON or OFF"
)
set_property(CACHE QK_CUDA PROPERTY STRINGS AUTO ON OFF)
set(QK_CUDA_ARCHITECTURES
    ""
    CACHE STRING
    "Compute capabilities to hold machine code for, ascending, as 75;90; the last one's PTX is held too"
)
set(qk_all_architectures
    75
    80
    86
    89
    90
    100
    120
)
# What is compiled of src/cuda, for devices and for the emulated one of tests/cuda.
set(QK_CUDA_SOURCES
    call.cpp
    checks.cpp
    elementwise.cu
    gemv_codes.cu
    gemv_float.cu
    gemv_grids.cu
    gemv_k.cu
    gemv_small.cu
    launch.cpp
    packing.cpp
    qk_cuda.cpp
    qk_cuda_host.cpp
    table.cpp
)
list(TRANSFORM QK_CUDA_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/src/cuda/)
# What the C interface can be asked is tested on the emulated device, and with QK_CUDA_DEVICE_TESTS
# on a real one too.
set(QK_CUDA_INTERFACE_TESTS elements extremes interface products)

# For each device the last of qk_all_architectures that its machine code, or PTX, runs on.
function(qk_architectures_here out)
    execute_process(
        COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
        OUTPUT_VARIABLE listed
        ERROR_QUIET
        RESULT_VARIABLE failed
    )
    set(found)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${listed}")
    if(failed)
        set(capabilities)
    endif()
    foreach(capability IN LISTS capabilities)
        string(REPLACE "." "" capability ${capability})
        set(best)
        foreach(known IN LISTS qk_all_architectures)
            if(known LESS_EQUAL capability)
                set(best ${known})
            endif()
        endforeach()
        list(APPEND found ${best})
    endforeach()
    list(REMOVE_DUPLICATES found)
    list(SORT found COMPARE NATURAL)
    set(${out} ${found} PARENT_SCOPE)
endfunction()

set(architectures ${QK_CUDA_ARCHITECTURES})
set(wanted ${QK_CUDA})
if(QK_CUDA STREQUAL "AUTO" AND NOT architectures)
    qk_architectures_here(architectures)
    if(NOT architectures)
        set(wanted OFF)
        message(
            STATUS
            "The CUDA kernels are left out: nvidia-smi lists no device that they run on. QK_CUDA=ON "
            "builds them for all, QK_CUDA_ARCHITECTURES for those of a list."
        )
    endif()
elseif(NOT architectures)
    set(architectures ${qk_all_architectures})
endif()

set(qk_has_cuda OFF)
if(NOT wanted STREQUAL "OFF")
    # The compiler's packages for Python keep libraries in lib/, where nvcc looks in lib64/.
    find_program(qk_nvcc nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin)
    set(nvcc ${qk_nvcc})
    if(DEFINED ENV{CUDACXX})
        set(nvcc $ENV{CUDACXX})
    endif()
    if(nvcc)
        get_filename_component(cuda_root ${nvcc}/../.. ABSOLUTE)
        if(EXISTS ${cuda_root}/lib/libcudart_static.a)
            set(ENV{CUDAFLAGS} "$ENV{CUDAFLAGS} -L${cuda_root}/lib")
        endif()
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    set(release "")
    if(CMAKE_CUDA_COMPILER)
        execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE release)
        string(REGEX REPLACE ".*release ([0-9]+\\.[0-9]+).*" "\\1" release "${release}")
    endif()
    if(release AND release VERSION_LESS QK_NVCC_AT_LEAST)
        set(why "${CMAKE_CUDA_COMPILER} is of CUDA ${release}, and ${QK_NVCC_AT_LEAST} is needed")
        if(QK_CUDA STREQUAL "AUTO")
            message(STATUS "The CUDA kernels are left out: ${why}.")
        else()
            message(FATAL_ERROR "QK_CUDA=${QK_CUDA}, but ${why}.")
        endif()
    elseif(CMAKE_CUDA_COMPILER)
        set(qk_has_cuda ON)
    elseif(NOT QK_CUDA STREQUAL "AUTO")
        message(FATAL_ERROR "QK_CUDA=${QK_CUDA}, but there is no nvcc (set CUDACXX to it)")
    endif()
endif()

if(QK_CUDA_DEVICE_TESTS AND NOT qk_has_cuda)
    message(FATAL_ERROR "QK_CUDA_DEVICE_TESTS needs the CUDA kernels, and QK_CUDA=${QK_CUDA}")
endif()

if(qk_has_cuda)
    set(CMAKE_CUDA_ARCHITECTURES OFF) # the flags below name them
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    enable_language(CUDA)
    if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20) # CMake is older than this nvcc
    endif()

    message(STATUS "The CUDA kernels are built for compute capabilities ${architectures}")

    # Sources are read once for each generation that they can tell apart (dependent launches came
    # with 9.0), and machine code for its devices is made of that.
    set(QK_CUDA_CODE)
    foreach(virtual IN ITEMS 75 90 120)
        set(codes)
        foreach(real IN LISTS architectures)
            if(
                (virtual EQUAL 75 AND real LESS 90)
                OR (virtual EQUAL 90 AND real GREATER_EQUAL 90 AND real LESS 120)
                OR (virtual EQUAL 120 AND real GREATER_EQUAL 120)
            )
                list(APPEND codes sm_${real})
            endif()
        endforeach()
        if(codes)
            list(GET architectures -1 last)
            list(GET codes -1 last_code)
            if(last_code STREQUAL "sm_${last}")
                list(APPEND codes compute_${virtual})
            endif()
            list(JOIN codes "," codes)
            list(APPEND QK_CUDA_CODE "SHELL:-gencode arch=compute_${virtual},code=[${codes}]")
        endif()
    endforeach()
endif()
