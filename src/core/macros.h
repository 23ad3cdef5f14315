// Compiler spellings used across the code.
//
// QK_INLINE is for everything that kernel sources include: a function that is always inlined is
// never emitted on its own, so no code compiled for a wide ISA can be linked into a baseline
// caller.
#pragma once

#define QK_INLINE inline __attribute__((always_inline))
#define QK_RESTRICT __restrict__
#define QK_PRINTF(format_index, first_arg) __attribute__((format(printf, format_index, first_arg)))
