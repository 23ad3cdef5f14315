// Compiler spellings used across the code.
//
// QK_INLINE is for everything that kernel sources include: a function that is always inlined is
// never emitted on its own, so no code compiled for a wide ISA can be linked into a baseline
// caller.
#pragma once

// CUDA compiles the same functions for the host and for the device, where a table of constants is a
// variable of its own.
#if defined(__CUDACC__)
#define QK_INLINE __host__ __device__ __forceinline__
#define QK_TABLE __device__ constexpr
#define QK_OPAQUE(word)
#else
#define QK_INLINE inline __attribute__((always_inline))
#define QK_TABLE constexpr
#define QK_OPAQUE(word) asm("" : "+r"(word))  // NOLINT(portability-no-assembler): an empty one
#endif
#define QK_NOINLINE __attribute__((noinline))
#define QK_INLINED __attribute__((always_inline))  // the same, of a lambda
#define QK_RESTRICT __restrict__
#define QK_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))

// Unrolls the loop that follows, up to `count` times. Not under AddressSanitizer, whose checks in
// unrolled kernels take minutes to compile, nor where an ISA has no vectors to gain from it.
#define QK_PRAGMA(text) _Pragma(#text)
#if defined(__SANITIZE_ADDRESS__) || defined(QK_NO_UNROLL)
#define QK_UNROLL(count)
#elif defined(__CUDACC__)
#define QK_UNROLL(count) QK_PRAGMA(unroll count)
#else
#define QK_UNROLL(count) QK_PRAGMA(GCC unroll count)
#endif
