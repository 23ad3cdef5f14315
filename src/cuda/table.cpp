#include "cuda/kernels.h"
#include "formats/all.h"

namespace qk::cuda {
namespace {

// As families are listed; one that no source holds the kernels of keeps the object from linking.
struct Table {
  FormatKernels formats[kFormats] = {};

  Table() {
    int format = 0;
    const auto add = [&]<class List>(const FamilyKernels<List>& family) {
      for (const FormatKernels& kernels : family.formats) formats[format++] = kernels;
    };
    const auto add_all = [&]<class... Lists>(const FamilyKernels<Lists>&... families) {
      static_assert(__is_same(Concatenated<Lists...>, AllFormats));
      (add(families), ...);
    };
    add_all(family_kernels<FloatFormats>(), family_kernels<SmallFormats>(),
            family_kernels<KFormats>(), family_kernels<GridFormats>(),
            family_kernels<CodeFormats>());
  }
};

}  // namespace

const FormatKernels& kernels_of(int format) {
  static Table table;  // NOLINT(misc-const-correctness): tests put others in its place
  return table.formats[format];
}

}  // namespace qk::cuda
