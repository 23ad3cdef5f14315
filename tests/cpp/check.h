// The C++ tests' own small harness: tests that are named as claims, checks that print values.
//
//   QK_TEST(a_row_never_reads_past_its_end) {
//     const Context context("k=%lld", k);        // printed with every failure below it
//     QK_REQUIRE_OK(open(path, &file));          // leaves the test when it fails
//     QK_CHECK_EQ(file.size(), 4096);            // reports both values, and goes on
//   }
//
// A test program is its own file and check.cpp, which has main(). An argument runs only the tests
// whose names contain it; with a minus before it, only the others.
#pragma once

#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/macros.h"
#include "core/status.h"

namespace qk::test {

// Whether QK_TEST_FEW_SHAPES is set: less of what a test walks over, where an emulator or a sanitizer
// makes it slow.
bool few_shapes();

// Reports a failure of the running test. Safe from any thread.
void fail(const char* file, int line, const std::string& what);

// Text that failures in its scope, on this thread, are printed with.
class Context {
 public:
  explicit Context(const char* format, ...) QK_PRINTF(2, 3);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

 private:
  friend void fail(const char* file, int line, const std::string& what);
  char text_[160];
  const Context* outer_;
};

// A test, in the list of all that the program has.
struct Registration {
  Registration(const char* test_name, void (*test_body)()) noexcept;

  const char* name;
  void (*body)();
  const Registration* next = nullptr;
};

template <class T>
std::string text_of(const T& value) {
  std::ostringstream stream;
  stream.precision(9);
  if constexpr (std::is_enum_v<T>) {
    stream << static_cast<long long>(value);
  } else if constexpr (std::is_integral_v<T> && sizeof(T) == 1) {
    stream << static_cast<int>(value);
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    stream << '"' << std::string_view(value) << '"';
  } else {
    stream << value;
  }
  return stream.str();
}

template <class A, class B>
bool check_equal(const A& actual, const B& expected, const char* expression, const char* file,
                 int line) {
  if (actual == expected) return true;
  fail(file, line,
       std::string(expression) + " is " + text_of(actual) + ", expected " + text_of(expected));
  return false;
}

bool check_true(bool value, const char* expression, const char* file, int line);
bool check_ok(const Status& status, const char* expression, const char* file, int line);

// Whether `status` has this code and a message that contains `part`.
bool check_fails(const Status& status, Code code, std::string_view part, const char* expression,
                 const char* file, int line);

}  // namespace qk::test

#define QK_TEST(name)                                                        \
  static void name();                                                        \
  static const ::qk::test::Registration name##_registration(#name, &(name)); \
  static void name()

#define QK_CHECK(condition) ::qk::test::check_true((condition), #condition, __FILE__, __LINE__)
#define QK_CHECK_EQ(actual, expected) \
  ::qk::test::check_equal((actual), (expected), #actual, __FILE__, __LINE__)
#define QK_CHECK_OK(status) ::qk::test::check_ok((status), #status, __FILE__, __LINE__)
#define QK_CHECK_FAILS(status, code, part) \
  ::qk::test::check_fails((status), (code), (part), #status, __FILE__, __LINE__)

// These leave the test, a function that returns nothing, when they fail.
#define QK_REQUIRE(condition)         \
  do {                                \
    if (!QK_CHECK(condition)) return; \
  } while (false)
#define QK_REQUIRE_OK(status)         \
  do {                                \
    if (!QK_CHECK_OK(status)) return; \
  } while (false)
