// The Llama runtime as Python objects: a model over tensors that Python holds, and a sampler.
#include <algorithm>
#include <memory>
#include <mutex>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>  // IWYU pragma: keep (tokens as lists)
#include <pybind11/typing.h>
#include <string>
#include <utility>
#include <vector>

#include "bind/activations.h"
#include "bind/array.h"
#include "bind/bind.h"
#include "bind/errors.h"
#include "bind/weights.h"
#include "dispatch/dispatch.h"
#include "llama/model.h"
#include "llama/sampler.h"

namespace py = pybind11;

namespace qk::bind {
namespace {

using Named = py::typing::Dict<py::str, py::object>;
using llama::Model;
using llama::Sampler;

// The tensors of a model by name, kept alive for as long as it is.
class Tensors {
 public:
  explicit Tensors(py::dict tensors) : tensors_(std::move(tensors)) {}

  WeightView matrix(const std::string& name) {
    const py::object tensor = find(name);
    if (tensor.is_none()) throw py::value_error("the model has no tensor " + name);
    if (!py::isinstance<Weights>(tensor)) throw py::type_error(name + " is not a matrix");
    const auto& weights = py::cast<const Weights&>(tensor);
    check_isa(weights);
    return weights.view;
  }

  // A vector of `count` floats, or null where it is absent and may be.
  const float* vector(const std::string& name, int64_t count, bool required) {
    const py::object tensor = find(name);
    if (tensor.is_none()) {
      if (required) throw py::value_error("the model has no tensor " + name);
      return nullptr;
    }
    const HeldArray held = hold_array(tensor, name.c_str());
    const ArrayView& view = held.view;
    if (view.type != ScalarType::kF32 || view.ndim != 1 || view.strides[0] != sizeof(float) ||
        reinterpret_cast<uintptr_t>(view.data) % alignof(float) != 0) {
      throw py::type_error(name + " is not a contiguous vector of float32");
    }
    if (view.shape[0] != count) {
      throw py::value_error(name + " has " + std::to_string(view.shape[0]) + " values, expected " +
                            std::to_string(count));
    }
    return static_cast<const float*>(view.data);
  }

  bool has(const std::string& name) const { return tensors_.contains(name); }

 private:
  py::object find(const std::string& name) const {
    return has(name) ? py::object(tensors_[name.c_str()]) : py::none();
  }

  py::dict tensors_;
};

llama::Config config_of(const py::dict& values) {
  const auto count = [&](const char* key) { return py::cast<int64_t>(values[key]); };
  llama::Config config;
  config.layers = count("layers");
  config.width = count("width");
  config.hidden = count("hidden");
  config.heads = count("heads");
  config.kv_heads = count("kv_heads");
  config.head_dim = count("head_dim");
  config.epsilon = py::cast<float>(values["rms_epsilon"]);
  raise_if_failed(
      parse_rope_kind(py::cast<std::string>(values["rope"]).c_str(), &config.rope.kind));
  config.rope.base = py::cast<double>(values["rope_base"]);
  config.rope.scale = py::cast<double>(values["rope_scale"]);
  return config;
}

llama::Layer layer_of(Tensors& tensors, const llama::Config& config, const py::dict& values,
                      int64_t index) {
  const std::string block = "blk." + std::to_string(index) + ".";
  const bool biased = py::cast<bool>(values["qkv_bias"]);
  const bool normed = py::cast<bool>(values["qk_norm"]);
  const auto matrix = [&](const char* name) { return tensors.matrix(block + name + ".weight"); };
  const auto norm = [&](const char* name, int64_t size, bool required) {
    return required ? tensors.vector(block + name + ".weight", size, true) : nullptr;
  };
  const auto bias = [&](const char* name, int64_t size) {
    return biased ? tensors.vector(block + name + ".bias", size, true) : nullptr;
  };
  return {.attention_norm = norm("attn_norm", config.width, true),
          .q = matrix("attn_q"),
          .k = matrix("attn_k"),
          .v = matrix("attn_v"),
          .q_bias = bias("attn_q", config.q_width()),
          .k_bias = bias("attn_k", config.kv_width()),
          .v_bias = bias("attn_v", config.kv_width()),
          .q_norm = norm("attn_q_norm", config.head_dim, normed),
          .k_norm = norm("attn_k_norm", config.head_dim, normed),
          .output = matrix("attn_output"),
          .ffn_norm = norm("ffn_norm", config.width, true),
          .gate = matrix("ffn_gate"),
          .up = matrix("ffn_up"),
          .down = matrix("ffn_down")};
}

// A model, what keeps its weights alive, and the lock that makes calls wait for one another.
class PyLlama {
 public:
  PyLlama(const Named& config, const Named& tensors, const std::string& cache, int64_t context,
          py::handle act, int threads)
      : tensors_(tensors), threads_(threads) {
    parallel_of(threads);  // refuses a number out of range now
    if (cache != "float16" && cache != "float32") {
      throw py::value_error("the cache is '" + cache + "', expected 'float16' or 'float32'");
    }
    llama::Config sizes = config_of(config);
    raise_if_failed(check_config(sizes));
    sizes.rope.factors = tensors_.vector("rope_freqs.weight", sizes.head_dim / 2, false);
    llama::Weights weights;
    weights.embedding = tensors_.matrix("token_embd.weight");
    weights.head =
        tensors_.has("output.weight") ? tensors_.matrix("output.weight") : weights.embedding;
    weights.output_norm = tensors_.vector("output_norm.weight", sizes.width, true);
    for (int64_t i = 0; i < sizes.layers; ++i) {
      weights.layers.push_back(layer_of(tensors_, sizes, config, i));
    }
    const llama::Options options{.cache = cache == "float16" ? CacheType::kF16 : CacheType::kF32,
                                 .act = act_of(act),
                                 .context = context};
    raise_if_failed(Model::make(current_kernels(), sizes, std::move(weights), options, &model_));
    last_.resize(static_cast<size_t>(model_->vocabulary()));
  }

  py::object forward(const std::vector<int64_t>& tokens, const std::string& logits) {
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
    run(tokens, Model::Want::kLast, nullptr);
    const int64_t shape[] = {model_->vocabulary()};
    py::array out = new_float_array(shape, 1);
    std::ranges::copy(last_, static_cast<float*>(out.mutable_data()));
    return out;
  }

  // Appends one token and chooses the next. Allocates nothing.
  int64_t step(int64_t token, Sampler& sampler) {
    const Parallel parallel = parallel_of(threads_);
    int32_t next = 0;
    Status status;
    {
      const py::gil_scoped_release unlocked;
      const std::scoped_lock lock(mutex_);
      status = model_->forward(parallel, &token, 1, Model::Want::kLast, last_.data());
      if (status.ok()) status = choose(sampler, &next);
    }
    raise_if_failed(status);
    return next;
  }

  int64_t sample(Sampler& sampler) {
    int32_t next = 0;
    Status status;
    {
      const py::gil_scoped_release unlocked;
      const std::scoped_lock lock(mutex_);
      status = choose(sampler, &next);
    }
    raise_if_failed(status);
    return next;
  }

  void truncate(int64_t position) {
    const std::scoped_lock lock(mutex_);
    raise_if_failed(model_->truncate(position));
  }

  py::typing::Dict<py::str, py::float_> profile() {
    const std::scoped_lock lock(mutex_);
    py::typing::Dict<py::str, py::float_> seconds;
    for (size_t i = 0; i < llama::kPartNames.size(); ++i) {
      seconds[llama::kPartNames[i]] = model_->profile().seconds()[i];
    }
    model_->profile().reset();
    return seconds;
  }

  const Model& model() const { return *model_; }

 private:
  void run(const std::vector<int64_t>& tokens, Model::Want want, float* all) {
    const Parallel parallel = parallel_of(threads_);
    Status status;
    {
      const py::gil_scoped_release unlocked;
      const std::scoped_lock lock(mutex_);
      status = model_->forward(parallel, tokens.data(), static_cast<int64_t>(tokens.size()), want,
                               want == Model::Want::kAll ? all : last_.data());
    }
    raise_if_failed(status);
  }

  Status choose(Sampler& sampler, int32_t* next) {
    QK_TRY(sampler.choose(last_.data(), model_->vocabulary(), next));
    sampler.accept(*next);
    return {};
  }

  Tensors tensors_;
  int threads_;
  std::unique_ptr<Model> model_;
  std::vector<float> last_;  // logits of the last token
  std::mutex mutex_;
};

std::unique_ptr<Sampler> make_sampler(double temperature, int64_t top_k, double top_p, double min_p,
                                      double repetition_penalty, int64_t repeat_last,
                                      uint64_t seed) {
  auto sampler = std::make_unique<Sampler>();
  raise_if_failed(Sampler::make({.temperature = temperature,
                                 .top_k = top_k,
                                 .top_p = top_p,
                                 .min_p = min_p,
                                 .repetition_penalty = repetition_penalty,
                                 .repeat_last = repeat_last,
                                 .seed = seed},
                                sampler.get()));
  return sampler;
}

int64_t choose_from(Sampler& sampler, const py::array_t<float, py::array::c_style>& logits) {
  if (logits.ndim() != 1 || logits.size() == 0) {
    throw py::value_error("logits are a vector with values, not of " +
                          std::to_string(logits.ndim()) + " dimensions");
  }
  int32_t token = 0;
  raise_if_failed(sampler.choose(logits.data(), logits.size(), &token));
  return token;
}

}  // namespace

void bind_llama(const py::module_& m) {
  py::class_<Sampler>(m, "Sampler", "Chooses tokens from logits.")
      .def(py::init(&make_sampler), py::arg("temperature"), py::arg("top_k"), py::arg("top_p"),
           py::arg("min_p"), py::arg("repetition_penalty"), py::arg("repeat_last"), py::arg("seed"))
      .def(
          "accept", [](Sampler& self, int64_t token) { self.accept(static_cast<int32_t>(token)); },
          py::arg("token"), "Enters a token into the window of the repetition penalty.")
      .def("choose", &choose_from, py::arg("logits"),
           "A token for logits of shape (vocabulary,); ValueError where they hold NaN.");
  py::class_<PyLlama>(m, "Llama", "A model, its cache of keys and values, and its workspace.")
      .def(py::init<const Named&, const Named&, const std::string&, int64_t, py::handle, int>(),
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
      .def_property_readonly("position",
                             [](const PyLlama& self) { return self.model().position(); })
      .def_property_readonly("batch", [](const PyLlama&) { return Model::kBatch; });
}

}  // namespace qk::bind
