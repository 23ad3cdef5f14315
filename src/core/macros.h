// Compiler spellings used across the code.
//
// QK_INLINE is for everything that kernel sources include: a function that is always inlined is
// never emitted on its own, so no code compiled for a wide ISA can be linked into a baseline
// caller.
#pragma once

#define QK_INLINE inline __attribute__((always_inline))
#define QK_RESTRICT __restrict__
#define QK_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))

// Unrolls the loop that follows, up to `count` times. Not under AddressSanitizer, whose checks in
// unrolled kernels take minutes to compile, nor where an ISA has no vectors to gain from it.
#define QK_PRAGMA(text) _Pragma(#text)
#if defined(__SANITIZE_ADDRESS__) || defined(QK_NO_UNROLL)
#define QK_UNROLL(count)
#else
#define QK_UNROLL(count) QK_PRAGMA(GCC unroll count)
#endif
