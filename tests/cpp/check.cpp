#include "check.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace qk::test {
namespace {

constexpr int kMostReports = 20;  // a test that fails in a loop says so often enough

constinit const Registration* first = nullptr;
constinit Registration* last = nullptr;

std::atomic<int> failures{0};  // of the running test
thread_local const Context* innermost = nullptr;

bool run(const Registration& test) {
  failures = 0;
  try {
    test.body();
  } catch (const std::exception& error) {
    fail(test.name, 0, std::string("left with an exception: ") + error.what());
  }
  std::printf("%s %s\n", failures == 0 ? "passed" : "FAILED", test.name);
  std::fflush(stdout);
  return failures == 0;
}

bool is_wanted(const Registration& test, const char* filter) {
  const bool others = filter[0] == '-';
  return others != (std::strstr(test.name, filter + (others ? 1 : 0)) != nullptr);
}

}  // namespace

bool few_shapes() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets it
  return std::getenv("QK_TEST_FEW_SHAPES") != nullptr;
}

void fail(const char* file, int line, const std::string& what) {
  const int count = failures.fetch_add(1) + 1;
  if (count > kMostReports) return;
  std::string report = std::string(file) + ":" + std::to_string(line) + ": " + what;
  for (const Context* context = innermost; context != nullptr; context = context->outer_) {
    report += std::string("\n    with ") + context->text_;
  }
  if (count == kMostReports) report += "\n    further failures of this test are not shown";
  std::printf("%s\n", report.c_str());
}

Context::Context(const char* format, ...) : outer_(innermost) {
  va_list args;
  va_start(args, format);
  std::vsnprintf(text_, sizeof(text_), format, args);
  va_end(args);
  innermost = this;
}

Context::~Context() { innermost = outer_; }

Registration::Registration(const char* test_name, void (*test_body)()) noexcept
    : name(test_name), body(test_body) {
  (last == nullptr ? first : last->next) = this;
  last = this;
}

bool check_true(bool value, const char* expression, const char* file, int line) {
  if (!value) fail(file, line, std::string(expression) + " is false");
  return value;
}

bool check_ok(const Status& status, const char* expression, const char* file, int line) {
  if (!status.ok()) fail(file, line, std::string(expression) + " failed: " + status.message);
  return status.ok();
}

bool check_fails(const Status& status, Code code, std::string_view part, const char* expression,
                 const char* file, int line) {
  const std::string_view message = status.message;
  if (status.code == code && message.find(part) != std::string_view::npos) return true;
  fail(file, line,
       std::string(expression) + " has code " + text_of(status.code) + " and message " +
           text_of(message) + ", expected code " + text_of(code) + " and " + text_of(part));
  return false;
}

}  // namespace qk::test

// NOLINTNEXTLINE(misc-const-correctness): the signature that main has
int main(int argc, char** argv) {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  for (const auto* test = qk::test::first; test != nullptr; test = test->next) {
    if (argc > 1 && !qk::test::is_wanted(*test, argv[1])) {
      std::printf("skipped %s\n", test->name);
      ++skipped;
      continue;
    }
    ++(qk::test::run(*test) ? passed : failed);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
  return failed == 0 && passed > 0 ? 0 : 1;
}
