// What threadpoolctl calls, by name, in the library that it finds among those that are loaded. Its
// side of it is python/qkernels/_base/threadpool.py.
#include <algorithm>

#include "core/default_threads.h"
#include "core/job.h"

extern "C" {

__attribute__((visibility("default"))) int qkernels_get_num_threads() {
  return qk::default_threads_now();
}

__attribute__((visibility("default"))) void qkernels_set_num_threads(int threads) {
  qk::limit_default_threads(std::clamp(threads, 1, qk::kMaxThreads));
}

}  // extern "C"
