// The Llama runtime as Python objects: a model over tensors that Python holds, and a sampler.
#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>  // IWYU pragma: keep (std::vector from and to lists)
#include <pybind11/typing.h>
#include <string>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/fork_safe.h"
#include "bind/gil.h"
#include "bind/model_tensors.h"
#include "bind/sampler.h"
#include "bind/sealed.h"
#include "bind/text.h"
#include "core/fp_environment.h"
#include "dispatch/dispatch.h"
#include "llama/architecture.h"
#include "llama/model.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Named = py::typing::Dict<py::str, py::object>;
using llama::Model;

llama::Config config_of(const py::dict& values) {
  const auto count = [&](const char* key) { return py::cast<int64_t>(values[key]); };
  llama::Config config;
  const std::string architecture = str_argument(values["architecture"], "architecture");
  raise_if_failed(llama::find_architecture(architecture.c_str(), &config.architecture));
  config.layers = count("layers");
  config.width = count("width");
  config.hidden = count("hidden");
  config.heads = count("heads");
  config.kv_heads = count("kv_heads");
  config.head_dim = count("head_dim");
  config.epsilon = static_cast<float>(py::cast<double>(values["rms_epsilon"]));
  config.rope_base = py::cast<double>(values["rope_base"]);
  config.rope_scale = py::cast<double>(values["rope_scale"]);
  raise_if_failed(check_config(config));
  return config;
}

// A model, what keeps its weights alive, and the lock that makes calls wait for one another. The
// lock is taken without the GIL, and no Python object is touched while it is held.
class PyLlama {
 public:
  PyLlama(const Named& config, const Named& tensors, py::handle cache, int64_t context,
          py::handle act, int threads)
      : tensors_(tensors, current_kernels()), threads_(threads) {
    const FpEnvironment environment;
    parallel_of(threads);  // refuses a number out of range now
    const std::string type = str_argument(cache, "cache");
    if (type != "float16" && type != "float32") {
      throw py::value_error("the cache is '" + type + "', expected 'float16' or 'float32'");
    }
    const llama::Config sizes = config_of(config);
    const llama::Options options{.cache = type == "float16" ? CacheType::kF16 : CacheType::kF32,
                                 .act = act_of(act),
                                 .context = context};
    raise_if_failed(
        Model::make(tensors_.kernels(), sizes, tensors_.weights(sizes), options, &model_));
    last_.resize(static_cast<size_t>(model_->vocabulary()));
  }

  py::object forward(const std::vector<int64_t>& tokens, py::handle which) {
    const std::string logits = str_argument(which, "logits");
    const auto count = static_cast<int64_t>(tokens.size());
    if (logits == "all") {
      const int64_t shape[] = {count, model_->vocabulary()};
      py::array out = new_float_array(shape, 2);
      run(tokens, Model::Want::kAll, static_cast<float*>(out.mutable_data()));
      return out;
    }
    if (logits == "none") {
      run(tokens, Model::Want::kNone, nullptr);
      return py::none();
    }
    if (logits != "last") {
      throw py::value_error("logits is '" + logits + "', expected 'last', 'all' or 'none'");
    }
    const int64_t shape[] = {model_->vocabulary()};
    py::array out = new_float_array(shape, 1);
    run(tokens, Model::Want::kLast, static_cast<float*>(out.mutable_data()));
    return out;
  }

  // Appends one token and chooses the next. Allocates nothing.
  int64_t step(int64_t token, PySampler& sampler) {
    const Parallel parallel = parallel_of(threads_);
    int32_t next = 0;
    Status status;
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      status = model_->forward(parallel, &token, 1, Model::Want::kLast, last_.data());
      position_ = model_->position();
      if (status.ok()) status = sampler.next(last_, &next);
    }
    tensors_.raise_if_cut();
    raise_if_failed(status);
    return next;
  }

  int64_t sample(PySampler& sampler) {
    int32_t next = 0;
    Status status;
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      status = sampler.next(last_, &next);
    }
    raise_if_failed(status);
    return next;
  }

  void truncate(int64_t position) {
    Status status;
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      status = model_->truncate(position);
      position_ = model_->position();
    }
    raise_if_failed(status);
  }

  py::typing::Dict<py::str, py::float_> profile() {
    std::array<double, llama::kStageNames.size()> spent{};
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      std::ranges::copy(model_->profile().seconds(), spent.begin());
      model_->profile().reset();
    }
    py::typing::Dict<py::str, py::float_> seconds;
    for (size_t i = 0; i < spent.size(); ++i) seconds[llama::kStageNames[i]] = spent[i];
    return seconds;
  }

  // Of the last call that is done: asking does not wait for the one that runs.
  int64_t position() const { return position_; }

  const Model& model() const { return *model_; }

 private:
  // The logits that are wanted go to `logits`, those of the last token to last_ as well.
  void run(const std::vector<int64_t>& tokens, Model::Want want, float* logits) {
    const Parallel parallel = parallel_of(threads_);
    Status status;
    {
      const ReleasedGil unlocked;
      const std::scoped_lock lock(mutex_.here());
      status = model_->forward(parallel, tokens.data(), static_cast<int64_t>(tokens.size()), want,
                               want == Model::Want::kAll ? logits : last_.data());
      position_ = model_->position();
      if (status.ok() && want == Model::Want::kLast) std::ranges::copy(last_, logits);
    }
    tensors_.raise_if_cut();
    raise_if_failed(status);
  }

  ModelTensors tensors_;
  int threads_;
  std::unique_ptr<Model> model_;
  std::vector<float> last_;  // logits of the last token
  std::atomic<int64_t> position_ = 0;
  ForkSafe<std::mutex> mutex_;
};

}  // namespace

void bind_llama(const py::module_& m) {
  py::class_<PySampler>(m, "Sampler", "Chooses tokens from logits.")
      .def(py::init<double, int64_t, double, double, double, int64_t, uint64_t>(),
           py::arg("temperature"), py::arg("top_k"), py::arg("top_p"), py::arg("min_p"),
           py::arg("repetition_penalty"), py::arg("repeat_last"), py::arg("seed"))
      .def("accept", &PySampler::accept, py::arg("token"),
           "Enters a token into the window of the repetition penalty.")
      .def("choose", &PySampler::choose, py::arg("logits"),
           "A token for logits of shape (vocabulary,); ValueError where they hold NaN.");
  seal<PySampler>();
  py::class_<PyLlama>(m, "Llama", "A model, its cache of keys and values, and its workspace.")
      .def(py::init<const Named&, const Named&, py::handle, int64_t, py::handle, int>(),
           py::arg("config"), py::arg("tensors"), py::arg("cache"), py::arg("context"),
           py::arg("act"), py::arg("threads"))
      .def("forward", &PyLlama::forward, py::arg("tokens"), py::arg("logits"),
           "Appends tokens; the logits of the 'last' or of 'all' of them, or 'none'.")
      .def("step", &PyLlama::step, py::arg("token"), py::arg("sampler"),
           "Appends one token and returns the next, which the sampler accepts.")
      .def("sample", &PyLlama::sample, py::arg("sampler"),
           "A token from the logits of the last one, which the sampler accepts.")
      .def("truncate", &PyLlama::truncate, py::arg("position"),
           "Forgets the tokens from `position` on.")
      .def("profile", &PyLlama::profile, "Seconds by operator since the last call.")
      .def(
          "cache_bytes",
          [](const PyLlama& self, int64_t position) { return self.model().cache_bytes(position); },
          py::arg("position"), "The bytes of keys and values before a position.")
      .def_property_readonly("weight_bytes",
                             [](const PyLlama& self) { return self.model().weight_bytes(); })
      .def_property_readonly("vocabulary",
                             [](const PyLlama& self) { return self.model().vocabulary(); })
      .def_property_readonly("context", [](const PyLlama& self) { return self.model().context(); })
      .def_property_readonly("position", &PyLlama::position)
      .def_property_readonly("batch", [](const PyLlama&) { return Model::kBatch; });
  seal<PyLlama>();
}

}  // namespace qk::bind
