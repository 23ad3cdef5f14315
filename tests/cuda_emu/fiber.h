// A fiber: a stack of its own and the place where it stopped. x86-64 only, 20 ns a switch.
#pragma once

#include <cstddef>

namespace cuda_emu {

class Fiber {
 public:
  explicit Fiber(void (*body)());
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From the scheduler: runs the fiber until it suspends itself or its body ends; the next call
  // after that runs the body anew.
  void resume();
  static void suspend();

 private:
  char* stack_;
  void* top_;
};

}  // namespace cuda_emu
