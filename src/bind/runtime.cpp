// What runs and on how many threads.
#include <pybind11/typing.h>
#include <string>

#include "bind/activations.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/torch_pool.h"
#include "core/cpu.h"
#include "core/default_threads.h"
#include "core/pool.h"
#include "dispatch/dispatch.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

void check_threads(int threads) {
  if (threads >= 1 && threads <= kMaxThreads) return;
  throw py::value_error("threads=" + std::to_string(threads) + " is outside 1.." +
                        std::to_string(kMaxThreads));
}

void set_threads(int threads) {
  check_threads(threads);
  set_default_threads(threads);
}

py::typing::List<py::str> isas(bool all, bool for_tests) {
  py::typing::List<py::str> names;
  for (int i = 0; i < isa_count(); ++i) {
    const KernelTable& table = isa_at(i);
    const bool listed = cpu_runs(table) && (for_tests || !table.for_tests);
    if (all || listed) names.append(table.isa);
  }
  return names;
}

py::typing::Dict<py::str, py::object> cpu_info() {
  char name[64];
  char features[256];
  cpu_name(name, sizeof(name));
  cpu_feature_names(cpu_features(), features, sizeof(features));
  py::dict info;
  info["cpu"] = name;
  info["features"] = py::str(features).attr("split")();
  info["processors"] = usable_processors();
  info["compiler"] = QK_COMPILER;
  return info;
}

}  // namespace

Parallel parallel_of(int threads, bool is_torch) {
  const int of_torch = is_torch ? torch_threads() : 0;
  if (threads == kDefaultThreads) {
    threads = of_torch > 0 && chosen_threads() == 0 ? of_torch : default_threads();
  }
  check_threads(threads);
  return of_torch > 0 ? torch_parallel(threads) : Pool::shared().parallel(threads);
}

void bind_runtime(py::module_& m) {
  m.def("isas", &isas, py::kw_only(), py::arg("all") = false, py::arg("for_tests") = false,
        "The ISAs that this CPU runs, worst first; those too that are never chosen when "
        "`for_tests`, all that were built when `all`.");
  m.def("isa", [] { return current_kernels().isa; }, "The ISA in use.");
  m.def(
      "force_isa", [](const char* name) { raise_if_failed(force_isa(name)); }, py::arg("name"),
      "Makes `name` the ISA in use; ValueError when this build or this CPU lacks it.");
  m.def("threads", &default_threads_now, "The default number of threads.");
  m.def("set_threads", &set_threads, py::arg("threads"), "Sets the default number of threads.");
  m.def("cpu_info", &cpu_info, "The CPU's name, features and usable processors.");
}

}  // namespace qk::bind
