// The element types of tensors by their GGUF id: the formats of the registry, plain arrays, types
// that GGUF knows and qkernels does not, and types that GGUF has removed.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/status.h"
#include "core/views.h"

namespace qk::gguf {

struct TensorType {
  const char* name = nullptr;              // null for an id that no version of GGUF has
  int block = 0;                           // elements a block; 0 where the size is unknown
  int bytes = 0;                           // bytes a block
  int format = -1;                         // an index into the format list, or -1
  ScalarType scalar = ScalarType::kOther;  // of types that are dense arrays

  bool is_readable() const { return format >= 0 || scalar != ScalarType::kOther; }
};

TensorType tensor_type(uint32_t id);

// Why a tensor of a type that is not readable has no contents here.
Status unreadable(std::string_view tensor, uint32_t id);

}  // namespace qk::gguf
