#include "formats/registry.h"

#include <strings.h>

#include "core/checked.h"
#include "formats/all.h"
#include "formats/integers.h"

namespace qk {
namespace {

template <class F>
Format describe() {
  static_assert(F::kInfo.block == 1 || F::kInfo.block <= kUnit);
  static_assert(kUnit % F::kInfo.block == 0, "a unit holds whole blocks");
  using Block = typename F::Block;
  Format format{};
  format.info = F::kInfo;
  format.is_float = F::kFloat;
  format.decode = [](const void* block, float* out) {
    F::decode(*static_cast<const Block*>(block), out);
  };
  if constexpr (!F::kFloat) {
    static_assert(F::kInfo.block % F::kGroup == 0, "a group lies in one block");
    static_assert(F::kInfo.integers != nullptr, "kInfo says what the integers are");
    format.group = F::kGroup;
    format.integers = [](const void* block, int8_t* out) {
      block_integers<F>(*static_cast<const Block*>(block), out);
    };
    format.scales = [](const void* block, float* scales, float* mins) {
      block_scales<F>(*static_cast<const Block*>(block), scales, mins);
    };
  }
  format.panel_bytes = panel_block_bytes<F>();
  format.panel = F::kPanel;
  if constexpr (requires { typename F::Recoded; }) {
    using Recoded = typename F::Recoded;
    static_assert(sizeof(Recoded) <= kMostRecodedBytes && alignof(Recoded) == 1);
    format.recode = [](const void* block, void* recoded) {
      F::recode(*static_cast<const Block*>(block), *static_cast<Recoded*>(recoded));
    };
    format.restore = [](const void* recoded, void* block) {
      F::restore(*static_cast<const Recoded*>(recoded), *static_cast<Block*>(block));
    };
  }
  return format;
}

struct Table {
  Format formats[kFormats];
};

template <class... Fs>
Table describe_all(FormatList<Fs...>) {
  return {{describe<Fs>()...}};
}

const Table& table() {
  static const Table kTable = describe_all(AllFormats{});
  return kTable;
}

// The bytes of ceil(k / block) blocks of `bytes` each.
Status bytes_of_blocks(const FormatInfo& info, int64_t k, int bytes, int64_t* out) {
  if (k < 0) return Status::value_error("k=%lld is negative", static_cast<long long>(k));
  if (!checked_mul(ceil_div(k, info.block), bytes, out)) {
    return Status::value_error("a row of k=%lld %s weights passes 2^63 bytes",
                               static_cast<long long>(k), info.name);
  }
  return {};
}

}  // namespace

int format_count() { return kFormats; }

const Format& format_at(int index) { return table().formats[index]; }

int find_format(const char* name) {
  for (int i = 0; i < kFormats; ++i) {
    if (strcasecmp(format_at(i).info.name, name) == 0) return i;
  }
  return -1;
}

int find_format_by_gguf_id(int64_t gguf_id) {
  for (int i = 0; i < kFormats; ++i) {
    const int id = format_at(i).info.gguf_id;
    if (id >= 0 && id == gguf_id) return i;
  }
  return -1;
}

Status row_bytes(int format, int64_t k, int64_t* out) {
  const FormatInfo& info = format_at(format).info;
  return bytes_of_blocks(info, k, info.bytes, out);
}

Status packed_row_bytes(int format, int64_t k, int64_t* out) {
  return bytes_of_blocks(format_at(format).info, k, format_at(format).panel_bytes, out);
}

}  // namespace qk
