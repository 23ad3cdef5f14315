#include "cuda/kernels.h"
#include "formats/all.h"

namespace qk::cuda {
namespace {

struct Table {
  FormatKernels formats[kFormats];
};

template <class... Fs>
Table all_kernels(FormatList<Fs...>) {
  return {{kernels_of<Fs>()...}};
}

}  // namespace

const FormatKernels& kernels_of(int format) {
  static const Table kTable = all_kernels(AllFormats{});
  return kTable.formats[format];
}

}  // namespace qk::cuda
