#include "cuda/packing.h"

#include <cstring>

#include "core/checked.h"
#include "cuda/kernels.h"
#include "formats/panel.h"
#include "formats/registry.h"

namespace qk::cuda {
namespace {

constexpr int64_t kPlaneAlignment = 16;

struct PlaneBytes {
  int of[kMostPlanes] = {};
};

// Of a block in each plane.
PlaneBytes plane_bytes_of(const FormatKernels& kernels) {
  PlaneBytes bytes;
  for (int i = 0; i < kernels.field_count; ++i) {
    const Field& field = kernels.fields[i];
    if (field.plane != kNotKept) bytes.of[field.plane] += field.bytes;
  }
  return bytes;
}

// Where each plane begins, and in `total` where they end. False where that passes 2^63.
bool lay_out(int format, int64_t k, Planes* planes, int64_t* total) {
  const int64_t blocks = ceil_div(k, format_at(format).info.block);
  const PlaneBytes bytes = plane_bytes_of(kernels_of(format));
  *total = 0;
  for (int p = 0; p < kMostPlanes; ++p) {
    planes->at[p] = *total;
    int64_t plane = 0;
    if (!checked_mul(blocks, bytes.of[p], &plane) || !checked_add(*total, plane, total) ||
        !checked_round_up(*total, kPlaneAlignment, total)) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool is_native(int format, Layout layout) {
  return layout == Layout::kNative || !kernels_of(format).packs;
}

Status row_bytes_of(int format, Layout layout, int64_t k, int64_t* out) {
  if (is_native(format, layout)) return row_bytes(format, k, out);
  int64_t native = 0;
  QK_TRY(row_bytes(format, k, &native));
  Planes planes{};
  if (!lay_out(format, k, &planes, out)) {
    return Status::value_error("a packed row of k=%lld %s weights passes 2^63 bytes", ll(k),
                               format_at(format).info.name);
  }
  return {};
}

Planes planes_of(int format, int64_t k) {
  Planes planes{};
  int64_t total = 0;
  lay_out(format, k, &planes, &total);
  return planes;
}

int native_alignment(int format) {
  int alignment = 16;
  while (format_at(format).info.bytes % alignment != 0) alignment /= 2;
  return alignment;
}

void pack_row(int format, int64_t k, const uint8_t* from, uint8_t* to, int64_t to_bytes) {
  const Format& description = format_at(format);
  const FormatKernels& kernels = kernels_of(format);
  const PlaneBytes stride = plane_bytes_of(kernels);
  const Planes planes = planes_of(format, k);
  const int64_t blocks = ceil_div(k, description.info.block);
  std::memset(to, 0, static_cast<size_t>(to_bytes));
  for (int64_t block = 0; block < blocks; ++block) {
    const uint8_t* bytes = from + block * description.info.bytes;
    uint8_t recoded[kMostRecodedBytes];
    if (kernels.recoded) {
      description.recode(bytes, recoded);
      bytes = recoded;
    }
    PlaneBytes place;
    for (int i = 0; i < kernels.field_count; ++i) {
      const Field& field = kernels.fields[i];
      if (field.plane == kNotKept) continue;
      uint8_t* plane = to + planes.at[field.plane] + block * stride.of[field.plane];
      std::memcpy(plane + place.of[field.plane], bytes + field.offset,
                  static_cast<size_t>(field.bytes));
      place.of[field.plane] += field.bytes;
    }
  }
}

}  // namespace qk::cuda
