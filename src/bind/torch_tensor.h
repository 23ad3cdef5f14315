// torch's tensors, read through their attributes: three times as fast as by DLPack.
#pragma once

#include <optional>
#include <pybind11/pybind11.h>

#include "bind/array.h"

namespace qk::bind {

// Whether it is one, of any subclass. Never imports torch.
bool is_tensor(pybind11::handle object);

// kResolved: what qkernels.torch has looked at already.
enum class TensorUse : uint8_t { kRead, kWrite, kResolved };

// A plain tensor's memory: dense, on the CPU, no subclass but Parameter, all of its elements within
// its storage, with no gradient expected from reading or hurt by writing. Nothing for any other,
// which qkernels.torch resolves or refuses by name.
std::optional<HeldArray> view_tensor(pybind11::handle tensor, TensorUse use);

// A new result as a tensor over the same memory.
pybind11::object as_tensor(const pybind11::object& array);

// Tells autograd that a tensor's memory has changed.
void count_write(pybind11::handle tensor);

}  // namespace qk::bind
