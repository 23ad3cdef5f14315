#include "bind/bind.h"
#include "core/awake.h"
#include "core/default_threads.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

PYBIND11_MODULE(_core_of_the_main_interpreter, m, py::mod_gil_not_used(),
                py::multiple_interpreters::not_supported()) {
  m.doc() = "The C++ core of qkernels; use the functions of the package instead.";
  m.attr("__version__") = QK_VERSION;
  for (const auto check :
       {qk::init_dispatch, qk::check_threads_variable, qk::check_awake_variable}) {
    if (const qk::Status status = check(); !status.ok()) throw py::import_error(status.message);
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
  qk::bind::bind_mapped(m);
  qk::bind::bind_raw_ints(m);
  qk::bind::bind_quantize(m);
  qk::bind::bind_read(m);
  qk::bind::bind_stream(m);
  qk::bind::bind_torch(m);
  qk::bind::bind_model_tensors(m);
  qk::bind::bind_llama(m);
}

// What Python calls. The state of this module is the process's, and before Python 3.12 pybind11
// waits for ever where another interpreter than the main one imports it.
extern "C" PYBIND11_EXPORT PyObject* PyInit__core() {  // NOLINT(*-identifier*)
  if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
    return PyInit__core_of_the_main_interpreter();
  }
  PyErr_SetString(PyExc_ImportError, "qkernels does not support sub-interpreters");
  return nullptr;
}
