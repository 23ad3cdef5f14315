// The streaming micro-kernels: every kernel on every ISA that this CPU runs gives the exact sums,
// whatever the bytes, the padding and the prefetch distance, and reads nothing past its weights.
#include <cstring>
#include <vector>

#include "check.h"
#include "kernel_data.h"
#include "ops/stream.h"

namespace qk {
namespace {

using test::Bytes;
using test::Context;
using test::Random;

// The bytes of a problem, row by row.
struct Problem {
  int64_t n;
  int64_t k;
  std::vector<int8_t> weights;
  std::vector<int8_t> x;

  Problem(int64_t rows, int64_t depth, const std::vector<int8_t>& values, Random& random)
      : n(rows), k(depth) {
    std::uniform_int_distribution<size_t> index(0, values.size() - 1);
    for (int64_t i = 0; i < n * k; ++i) weights.push_back(values[index(random)]);
    for (int64_t i = 0; i < k; ++i) x.push_back(values[index(random)]);
  }
  int64_t exact(int64_t row) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      sum += int64_t{weights[static_cast<size_t>(row * k + i)]} * x[static_cast<size_t>(i)];
    }
    return sum;
  }
};

std::vector<int8_t> all_values() {
  std::vector<int8_t> values;
  for (int value = -128; value < 128; ++value) values.push_back(static_cast<int8_t>(value));
  return values;
}

// Weights in a kernel's layout, up against the end of their memory.
struct Packed {
  Packed(const Problem& problem, StreamKernel kernel, int shift)
      : layout(stream_layout(kernel)),
        depth((problem.k + kStreamBlock - 1) / kStreamBlock * kStreamBlock),
        groups((problem.n + layout.rows - 1) / layout.rows),
        bytes(groups * layout.rows * depth, shift) {
    const int64_t piece = layout.bytes == 0 ? depth : layout.bytes;
    std::memset(bytes.data(), 0, static_cast<size_t>(bytes.size()));
    for (int64_t row = 0; row < problem.n; ++row) {
      uint8_t* group = bytes.data() + row / layout.rows * layout.rows * depth;
      for (int64_t i = 0; i < problem.k; ++i) {
        const int64_t at = (i / piece * layout.rows + row % layout.rows) * piece + i % piece;
        group[at] = static_cast<uint8_t>(problem.weights[static_cast<size_t>(row * problem.k + i)]);
      }
    }
    const int64_t shape[5] = {1, groups, depth / piece, layout.rows, piece};
    view.data = bytes.data();
    view.type = ScalarType::kI8;
    view.ndim = 5;
    int64_t stride = 1;
    for (int d = 4; d >= 0; --d) {
      view.shape[d] = shape[d];
      view.strides[d] = stride;
      stride *= shape[d];
    }
  }

  StreamLayout layout;
  int64_t depth;
  int64_t groups;
  Bytes bytes;
  ArrayView view;
};

ArrayView view_of(std::vector<int8_t>& x) {
  ArrayView view;
  view.data = x.data();
  view.type = ScalarType::kI8;
  view.ndim = 1;
  view.shape[0] = static_cast<int64_t>(x.size());
  view.strides[0] = 1;
  return view;
}

template <class Body>
void for_each_kernel(Body body) {
  for (int i = 0; i < isa_count(); ++i) {
    if (!cpu_runs(isa_at(i))) continue;
    for (int kernel = 0; kernel < kStreamKernels; ++kernel) {
      const auto chosen = static_cast<StreamKernel>(kernel);
      const Context context("isa=%s kernel=%s", isa_at(i).isa, stream_kernel_name(chosen));
      body(isa_at(i), chosen);
    }
  }
}

void check_product(const KernelTable& kernels, StreamKernel kernel, Problem& problem, int shift,
                   int64_t prefetch) {
  const Context context("n=%d k=%d shift=%d prefetch=%d", static_cast<int>(problem.n),
                        static_cast<int>(problem.k), shift, static_cast<int>(prefetch));
  const Packed packed(problem, kernel, shift);
  const ArrayView x = view_of(problem.x);
  StreamProduct product;
  QK_REQUIRE_OK(check_stream(kernel, packed.view, x, prefetch, &product));
  const Bytes padded(stream_x_bytes(product.depth), shift);
  auto* multiplier = reinterpret_cast<int8_t*>(padded.data());
  pad_stream_x(x, product.depth, multiplier);
  std::vector<int32_t> y(static_cast<size_t>(product.rows));
  stream_gemv(kernels, product, 0, multiplier, y.data());
  for (int64_t row = 0; row < product.rows; ++row) {
    const int64_t expected = row < problem.n ? problem.exact(row) : 0;
    QK_CHECK_EQ(int64_t{y[static_cast<size_t>(row)]}, expected);
  }
}

QK_TEST(every_kernel_is_exact_at_every_shape) {
  Random random(1);
  for_each_kernel([&](const KernelTable& kernels, StreamKernel kernel) {
    for (const int64_t n : {1, 3, 4, 16, 21}) {
      for (const int64_t k : {1, 15, 16, 17, 48, 64, 80, 112, 128, 300, 576}) {
        Problem problem(n, k, all_values(), random);
        check_product(kernels, kernel, problem, static_cast<int>(k % 2), n % 3);
      }
    }
  });
}

QK_TEST(every_kernel_is_exact_where_bytes_are_extreme) {
  Random random(2);
  for_each_kernel([&](const KernelTable& kernels, StreamKernel kernel) {
    for (const std::vector<int8_t>& values :
         {std::vector<int8_t>{-128}, std::vector<int8_t>{-128, 127}, std::vector<int8_t>{127},
          std::vector<int8_t>{-128, 0, 1}}) {
      Problem problem(5, 256, values, random);
      check_product(kernels, kernel, problem, 0, 0);
      problem.x.assign(problem.x.size(), -128);
      check_product(kernels, kernel, problem, 0, 2);
    }
  });
}

QK_TEST(sums_at_the_greatest_depth_fill_an_int32) {
  Random random(3);
  Problem problem(1, kMaxStreamDepth, {-128}, random);
  QK_CHECK_EQ(problem.exact(0), (int64_t{1} << 31) - 128 * 128);
  for_each_kernel([&](const KernelTable& kernels, StreamKernel kernel) {
    check_product(kernels, kernel, problem, 0, 8);
  });
}

QK_TEST(prefetching_any_distance_changes_nothing) {
  Random random(4);
  Problem problem(17, 208, all_values(), random);
  for_each_kernel([&](const KernelTable& kernels, StreamKernel kernel) {
    for (const int64_t prefetch : {int64_t{0}, int64_t{1}, int64_t{64}, kMaxPrefetch}) {
      check_product(kernels, kernel, problem, 1, prefetch);
    }
  });
}

QK_TEST(what_does_not_fit_a_kernel_is_refused_with_its_values) {
  Random random(5);
  Problem problem(4, 32, {1}, random);
  const ArrayView x = view_of(problem.x);
  const Packed packed(problem, StreamKernel::kDotprod4i, 0);
  StreamProduct product;
  const auto check = [&](StreamKernel kernel, const ArrayView& weights, int64_t prefetch) {
    return check_stream(kernel, weights, x, prefetch, &product);
  };
  QK_CHECK_FAILS(check(StreamKernel::kDotprod16i, packed.view, 0), Code::kValue,
                 "dotprod16i takes 16 rows together, 4 bytes of each in turn");
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, packed.view, -1), Code::kValue, "prefetch=-1");
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, packed.view, kMaxPrefetch + 1), Code::kValue,
                 "prefetch=65537 is outside 0..65536");
  ArrayView wrong = packed.view;
  wrong.type = ScalarType::kU8;
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, wrong, 0), Code::kType, "dtype uint8");
  wrong = packed.view;
  wrong.strides[1] = 0;
  wrong.shape[1] = 2;
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, wrong, 0), Code::kValue, "a stride of 0 bytes");
  wrong = packed.view;
  wrong.shape[1] = int64_t{1} << 62;  // of nothing, so that no memory is too small for it
  wrong.shape[2] = 0;
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, wrong, 0), Code::kValue, "more than 2^63 rows");
  wrong = packed.view;
  wrong.shape[0] = 0;
  QK_CHECK_FAILS(check(StreamKernel::kDotprod4i, wrong, 0), Code::kValue, "0 copies");
  problem.x.resize(33);
  QK_CHECK_FAILS(
      check_stream(StreamKernel::kDotprod4i, packed.view, view_of(problem.x), 0, &product),
      Code::kValue, "x has k=33, padded to 48; the weights have 32 columns");
  StreamKernel parsed{};
  QK_CHECK_FAILS(parse_stream_kernel("dotprod8", &parsed), Code::kValue, "kernel='dotprod8'");
}

}  // namespace
}  // namespace qk
