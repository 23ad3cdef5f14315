// Products through the operators of ops/, as the tests of kernels take them: every format, kind of
// activations and ISA that this CPU runs, into results that show where they were written.
//
// The lists of formats and ISAs are walked by index, so a new one is tested by being there.
#pragma once

#include <cstdint>
#include <vector>

#include "check.h"
#include "core/parallel.h"
#include "core/status.h"
#include "core/views.h"
#include "dispatch/dispatch.h"
#include "formats/registry.h"
#include "kernel_data.h"
#include "ops/activations.h"
#include "ops/pack.h"
#include "ops/shapes.h"

namespace qk::test {

// Whether an environment variable, if it is set, names something: "neon neon_dotprod".
bool is_named(const char* variable, const char* name);

// Calls body(kernels, format, act) for all there are, of those that QK_TEST_ISAS and QK_TEST_FORMATS
// name. Float weights take float activations only.
template <class Body>
void for_each_kernel(Body body) {
  int kernels_tested = 0;
  for (int isa = 0; isa < isa_count(); ++isa) {
    const KernelTable& kernels = isa_at(isa);
    if (!cpu_runs(kernels) || !is_named("QK_TEST_ISAS", kernels.isa)) continue;
    for (int format = 0; format < format_count(); ++format) {
      if (!is_named("QK_TEST_FORMATS", format_at(format).info.name)) continue;
      for (int a = 0; a < kActs; ++a) {
        const Act act = static_cast<Act>(a);
        if (effective_act(format, act) != act) continue;
        const Context context("%s %s %s", kernels.isa, format_at(format).info.name, act_name(act));
        body(kernels, format, act);
        ++kernels_tested;
      }
    }
  }
  QK_CHECK(kernels_tested > 0);
}

// One thread, one row at a time, the last one first.
Parallel one_by_one();

// A result of m batch rows and n weight rows, in memory with gaps between the batch rows.
struct Product {
  Product(int64_t rows, int64_t m);

  float* data() { return out.data(); }
  int64_t stride() const { return n + kGap; }
  float at(int64_t j, int64_t i) const { return out[static_cast<size_t>(j * stride() + i)]; }
  bool is_complete() const;  // every result written, and no gap
  bool is_untouched() const;
  bool same_bits(const Product& other) const;

  bool written(int64_t index) const;

  static constexpr int64_t kGap = 3;
  Status status;
  int64_t n;
  std::vector<float> out;  // rows of n, kGap apart, and nothing after the last
};

// x @ weights.T + bias, from quantising x on.
Product multiply(const Parallel& parallel, const KernelTable& kernels, const WeightView& weights,
                 const ArrayView& x, Act act, const float* bias = nullptr);

// The same weights in panels of `rows` rows.
struct Packed {
  Packed(const RandomWeights& weights, int rows);

  Bytes bytes;
  WeightView view;
};

// Calls body(weights) with weights as they are and in the kernel's panels.
template <class Body>
void for_each_layout(const KernelTable& kernels, const RandomWeights& weights, Body body) {
  {
    const Context context("native");
    body(weights.view);
  }
  const Context context("packed");
  const Packed packed(weights, panel_rows(kernels, weights.view.format));
  body(packed.view);
}

// The largest relative error that products with such activations may have.
double bound_of(Act act);

// A relative error over many outputs, since a single one may cancel.
struct Error {
  // Products of m batch rows, and what they are in double precision, (m, n).
  void add(const Product& product, const std::vector<double>& exact);
  double relative() const;

  double difference = 0.0;
  double reference = 0.0;
  int64_t outputs = 0;
};

}  // namespace qk::test
