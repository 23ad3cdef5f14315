#include "kernel_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "core/checked.h"
#include "formats/registry.h"

namespace qk::test {
namespace {

constexpr int kOutliers = 8;

int64_t row_size(int format, int64_t k) {
  const FormatInfo& info = format_at(format).info;
  return ceil_div(k, info.block) * info.bytes;
}

// Finite, and neither vanishing beside other blocks nor dwarfing them: errors are measured against
// the norm of a result, which a few blocks must not make up alone.
bool is_ordinary(const std::vector<float>& block) {
  float largest = 0.0f;
  for (const float value : block) {
    if (!std::isfinite(value)) return false;
    largest = std::max(largest, std::fabs(value));
  }
  return largest > 0.5f && largest < 4.0f;
}

struct Block {
  std::vector<uint8_t> bytes;
  std::vector<float> values;
};

// Ordinary blocks of one format, found once by trying random bytes; weights are made of these.
const std::vector<Block>& ordinary_blocks(int format) {
  constexpr size_t kBlocks = 1000;
  static std::map<int, std::vector<Block>> all;
  std::vector<Block>& blocks = all[format];
  const Format& about = format_at(format);
  Random random(static_cast<uint64_t>(format));
  Block block{std::vector<uint8_t>(static_cast<size_t>(about.info.bytes)),
              std::vector<float>(static_cast<size_t>(about.info.block))};
  while (blocks.size() < kBlocks) {
    for (uint8_t& byte : block.bytes) byte = static_cast<uint8_t>(random());
    about.decode(block.bytes.data(), block.values.data());
    if (is_ordinary(block.values)) blocks.push_back(block);
  }
  return blocks;
}

ArrayView matrix_view(const Bytes& bytes, int64_t m, int64_t k) {
  ArrayView view;
  view.data = bytes.data();
  view.type = ScalarType::kF32;
  view.ndim = 2;
  view.shape[0] = m;
  view.shape[1] = k;
  view.strides[0] = k * 4;
  view.strides[1] = 4;
  return view;
}

}  // namespace

Bytes::Bytes(int64_t size, int shift)
    : memory_(new uint8_t[static_cast<size_t>(size + shift)]), size_(size), shift_(shift) {}

RandomWeights::RandomWeights(Random& random, int format, int64_t n, int64_t k, int shift)
    : bytes(n * row_size(format, k), shift) {
  const FormatInfo& info = format_at(format).info;
  const std::vector<Block>& blocks = ordinary_blocks(format);
  view.data = bytes.data();
  view.n = n;
  view.k = k;
  view.row_stride = row_size(format, k);
  view.format = format;
  for (int64_t row = 0; row < n; ++row) {
    uint8_t* at = bytes.data() + row * view.row_stride;
    for (int64_t begin = 0; begin < k; begin += info.block, at += info.bytes) {
      const Block& block = blocks[random() % blocks.size()];
      std::memcpy(at, block.bytes.data(), block.bytes.size());
      const int64_t count = std::min<int64_t>(k - begin, info.block);
      values.insert(values.end(), block.values.begin(), block.values.begin() + count);
    }
  }
}

RandomActivations::RandomActivations(Random& random, int64_t m, int64_t k, int shift,
                                     Outliers outliers)
    : bytes(m * k * 4, shift), view(matrix_view(bytes, m, k)) {
  std::normal_distribution<float> gaussian;
  std::vector<float> row(static_cast<size_t>(k));
  for (int64_t j = 0; j < m; ++j) {
    for (float& value : row) value = gaussian(random);
    if (outliers == Outliers::kOne) {
      row[random() % row.size()] = 1000.0f;
    } else if (outliers == Outliers::kEight) {
      for (int i = 0; i < kOutliers; ++i) row[random() % row.size()] = 20.0f * gaussian(random);
    }
    std::memcpy(bytes.data() + j * k * 4, row.data(), row.size() * 4);
    values.insert(values.end(), row.begin(), row.end());
  }
}

void RandomActivations::scale_by(double factor) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<float>(values[i] * factor);
    std::memcpy(bytes.data() + i * 4, &value, 4);
    values[i] = static_cast<double>(value);
  }
}

std::vector<double> exact_product(const RandomWeights& weights, const RandomActivations& x) {
  const int64_t n = weights.view.n;
  const int64_t k = weights.view.k;
  const int64_t m = x.view.shape[0];
  std::vector<double> product;
  product.reserve(static_cast<size_t>(m * n));
  for (int64_t j = 0; j < m; ++j) {
    for (int64_t i = 0; i < n; ++i) {
      const double* w = weights.values.data() + i * k;
      const double* v = x.values.data() + j * k;
      double sum = 0.0;
      for (int64_t e = 0; e < k; ++e) sum += w[e] * v[e];
      product.push_back(sum);
    }
  }
  return product;
}

}  // namespace qk::test
