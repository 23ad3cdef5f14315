#include "bind/bind.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The C++ core of qkernels; use the functions of the package instead.";
  m.attr("__version__") = QK_VERSION;
  if (const qk::Status status = qk::init_dispatch(); !status.ok()) {
    throw py::import_error(status.message);
  }
  qk::bind::bind_runtime(m);
  qk::bind::bind_weights(m);
  qk::bind::bind_activations(m);
  qk::bind::bind_ops(m);
  qk::bind::bind_fused(m);
  qk::bind::bind_attention(m);
  qk::bind::bind_rope(m);
  qk::bind::bind_gated(m);
  qk::bind::bind_gguf(m);
  qk::bind::bind_raw_ints(m);
  qk::bind::bind_quantize(m);
  qk::bind::bind_read(m);
  qk::bind::bind_stream(m);
  qk::bind::bind_torch(m);
  qk::bind::bind_llama(m);
}
