#include "gguf/types.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "formats/all.h"
#include "formats/registry.h"
#include "gguf/cursor.h"

namespace qk::gguf {
namespace {

struct Row {
  uint32_t id;
  TensorType type;
};

// Types that are not weights, that GGUF has removed, or whose weights nothing here multiplies by:
// a row of a type that has become a format is not looked at, and may stay, or go.
constexpr Row kOthers[] = {
    {4, {"q4_2"}},
    {5, {"q4_3"}},
    {24, {"i8", 1, 1, -1, ScalarType::kI8}},
    {25, {"i16", 1, 2, -1, ScalarType::kI16}},
    {26, {"i32", 1, 4, -1, ScalarType::kI32}},
    {27, {"i64", 1, 8, -1, ScalarType::kI64}},
    {28, {"f64", 1, 8, -1, ScalarType::kF64}},
    {31, {"q4_0_4_4"}},
    {32, {"q4_0_4_8"}},
    {33, {"q4_0_8_8"}},
    {36, {"iq4_nl_4_4/i2_s"}},
    {37, {"iq4_nl_4_8/i8_s"}},
    {38, {"iq4_nl_8_8/tl1"}},
    {41, {"q1_0", 128, 18}},
    {42, {"q2_0", 64, 18}},
    // Of ik_llama.cpp.
    {139, {"iq4_k", 256, 144}},
    {140, {"iq5_k", 256, 176}},
    {141, {"iq6_k", 256, 212}},
};

// A row says of a type what its format says, where there is one.
constexpr bool agrees(const Row& row, const FormatInfo& info) {
  return !std::cmp_equal(row.id, info.gguf_id) ||
         (std::string_view(row.type.name) == info.name && row.type.block == info.block &&
          row.type.bytes == info.bytes);
}
template <class... Fs>
constexpr bool all_agree(FormatList<Fs...>) {
  return std::ranges::all_of(kOthers,
                             [](const Row& row) { return (agrees(row, Fs::kInfo) && ...); });
}
static_assert(all_agree(AllFormats{}));

// Ids that GGUF has removed and that a fork has given to types of its own.
struct ForkType {
  uint32_t id;
  const char* now;
  const char* then;
};

constexpr ForkType kForkTypes[] = {
    {36, "i2_s", "iq4_nl_4_4"},
    {37, "i8_s", "iq4_nl_4_8"},
    {38, "tl1", "iq4_nl_8_8"},
};

const ForkType* fork_type(uint32_t id) {
  const auto* found = std::ranges::find(kForkTypes, id, &ForkType::id);
  return found == std::end(kForkTypes) ? nullptr : found;
}

ScalarType scalar_of(uint32_t id) {
  switch (id) {
    case 0: return ScalarType::kF32;
    case 1: return ScalarType::kF16;
    case 30: return ScalarType::kBF16;
    default: return ScalarType::kOther;
  }
}

}  // namespace

TensorType tensor_type(uint32_t id) {
  if (const int format = find_format_by_gguf_id(id); format >= 0) {
    const FormatInfo& info = format_at(format).info;
    return {info.name, info.block, info.bytes, format, scalar_of(id)};
  }
  for (const Row& row : kOthers) {
    if (row.id == id) return row.type;
  }
  return {};
}

Status unreadable(std::string_view tensor, uint32_t id) {
  const TensorType type = tensor_type(id);
  if (type.name == nullptr) {
    return Status::value_error("tensor %s has the unknown type %u", Quoted(tensor).text(), id);
  }
  if (const ForkType* fork = fork_type(id)) {
    return Status::value_error(
        "tensor %s has type %u, which is %s in files of BitNet's fork and was %s until GGUF "
        "removed "
        "it",
        Quoted(tensor).text(), id, fork->now, fork->then);
  }
  return Status::value_error(
      "tensor %s has type %s (%u), which %s", Quoted(tensor).text(), type.name, id,
      type.block == 0 ? "GGUF has removed" : "qkernels does not multiply by yet");
}

}  // namespace qk::gguf
