// The parts of the extension module, one function a file.
#pragma once

#include <pybind11/pybind11.h>

namespace qk::bind {

void bind_runtime(pybind11::module_& m);
void bind_weights(pybind11::module_& m);
void bind_activations(pybind11::module_& m);
void bind_ops(pybind11::module_& m);
void bind_fused(pybind11::module_& m);
void bind_attention(pybind11::module_& m);
void bind_rope(pybind11::module_& m);
void bind_gated(pybind11::module_& m);
void bind_gguf(pybind11::module_& m);
void bind_raw_ints(pybind11::module_& m);
void bind_quantize(pybind11::module_& m);
void bind_read(pybind11::module_& m);
void bind_stream(pybind11::module_& m);
void bind_torch(pybind11::module_& m);
void bind_mapped(pybind11::module_& m);
void bind_model_tensors(pybind11::module_& m);
void bind_llama(const pybind11::module_& m);

}  // namespace qk::bind
