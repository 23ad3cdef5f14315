// parallel_for as a value: operators take one and never know whose threads they run on.
#pragma once

#include <cstdint>

#include "core/fp_environment.h"

namespace qk {

// Does items [begin, end). Called from several threads at once, for disjoint ranges.
using RangeFn = void (*)(void* context, int64_t begin, int64_t end);

// A way to run ranges on up to `threads` threads. The default is the library's own pool
// (core/pool.h); a host with threads of its own may pass another.
struct Parallel {
  void (*run)(void* self, int threads, int64_t n, int64_t grain, RangeFn fn, void* context);
  void* self;
  int threads;

  // Calls body(begin, end) over [0, n) in ranges of at least `grain`, and returns when all of
  // them are done. Whoever the thread belongs to, body runs in the library's floating-point
  // environment.
  template <class Body>
  void operator()(int64_t n, int64_t grain, Body& body) const {
    if (n <= 0) return;
    const RangeFn call = [](void* context, int64_t begin, int64_t end) {
      const FpEnvironment environment;
      (*static_cast<Body*>(context))(begin, end);
    };
    run(self, threads, n, grain, call, &body);
  }
};

// On the thread that calls.
inline Parallel alone() {
  const auto run = [](void*, int, int64_t n, int64_t, RangeFn fn, void* context) {
    fn(context, 0, n);
  };
  return {run, nullptr, 1};
}

}  // namespace qk
