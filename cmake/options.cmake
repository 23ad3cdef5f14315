# Flags that every target of the project shares.
#
# -ffp-contract=off keeps decode() bit-exact: a product is rounded before it is added,
# as in the NumPy references. Kernels ask for fused multiply-adds by name.
#
# Compilers to come, and flags of the machine's own, warn of more: an installation does not end with
# that, only what developers build.
add_library(qk_options INTERFACE)
set(qk_werror)
if(QK_WERROR)
    set(qk_werror -Werror)
endif()
target_compile_options(
    qk_options
    INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion ${qk_werror} -ffp-contract=off
)
target_include_directories(qk_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(qk_options INTERFACE Threads::Threads)

if(QK_SANITIZE)
    target_compile_options(
        qk_options
        INTERFACE -fsanitize=${QK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1
    )
    target_link_options(qk_options INTERFACE -fsanitize=${QK_SANITIZE})
endif()

if(QK_FUZZ)
    target_compile_options(
        qk_options
        INTERFACE
            -fsanitize=fuzzer-no-link,address,undefined
            -fno-sanitize-recover=all
            -fno-omit-frame-pointer
            -g1
    )
    target_link_options(qk_options INTERFACE -fsanitize=address,undefined)
endif()
