// A value stored at any address: weights lie in files, where nothing promises alignment.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/macros.h"

namespace qk {

template <class T>
struct Unaligned {
  uint8_t bytes[sizeof(T)];

  QK_INLINE T get() const {
    T value;
    __builtin_memcpy(&value, bytes, sizeof(T));
    return value;
  }
  QK_INLINE void set(T value) { __builtin_memcpy(bytes, &value, sizeof(T)); }
};

QK_INLINE uint32_t load_u32(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof(word));
  return word;
}
QK_INLINE void or_u32(uint8_t* p, uint32_t bits) {
  bits |= load_u32(p);
  __builtin_memcpy(p, &bits, sizeof(bits));
}

using U16 = Unaligned<uint16_t>;
using U32 = Unaligned<uint32_t>;
static_assert(sizeof(U16) == 2 && alignof(U16) == 1);

}  // namespace qk
