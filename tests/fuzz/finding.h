// How a fuzz target says that something is wrong: a line on stderr, and a crash that libFuzzer
// keeps the input of.
#pragma once

#include <cstdio>
#include <cstdlib>

#define QK_FINDING_UNLESS(condition, ...)                                  \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::fprintf(stderr, __VA_ARGS__);                                   \
      std::fputc('\n', stderr);                                            \
      std::abort();                                                        \
    }                                                                      \
  } while (false)
