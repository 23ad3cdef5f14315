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

using U16 = Unaligned<uint16_t>;
using U32 = Unaligned<uint32_t>;
static_assert(sizeof(U16) == 2 && alignof(U16) == 1);

}  // namespace qk
