// A mapped file that is cut while it is read: zeros and a mark, and every other bus error as
// before.
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "check.h"
#include "core/os.h"

namespace qk {
namespace {

const auto page_size = static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
const int64_t file_size = 64 * page_size;

// A file of ones, mapped, and gone at the end of the test.
class Mapped {
 public:
  Mapped() {
    std::string name = (std::filesystem::temp_directory_path() / "qk-mapped-XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    if (fd >= 0) ::close(fd);
    path_ = name;
    std::ofstream(path_) << std::string(static_cast<size_t>(file_size), '\1');
    QK_CHECK_OK(MappedFile::open(path_.c_str(), &file_));
  }
  ~Mapped() { std::filesystem::remove(path_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  void cut(int64_t size) const { std::filesystem::resize_file(path_, static_cast<size_t>(size)); }
  const MappedFile& file() const { return file_; }
  int64_t sum() const {
    const volatile uint8_t* data = file_.data();
    int64_t total = 0;
    for (int64_t i = 0; i < file_.size(); ++i) total += data[i];
    return total;
  }
  Status check(int64_t begin, int64_t end) const {
    return check_mapped(file_.data() + begin, file_.data() + end);
  }

 private:
  std::filesystem::path path_;
  MappedFile file_;
};

// What a forked child's status is that runs `body`: 0 where that returned true, else that of
// exit(2).
template <class Body>
int status_of_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    ::_exit(body() ? 0 : 2);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return status;
}

// A sanitizer reports a bus error that comes down to its handler, and ends with a status of its
// own: AddressSanitizer with 1, ThreadSanitizer with 66.
bool is_bus_error(int status) {
#if defined(__SANITIZE_ADDRESS__)
  if (WIFEXITED(status) && WEXITSTATUS(status) == 1) return true;
#elif defined(__SANITIZE_THREAD__)
  if (WIFEXITED(status) && WEXITSTATUS(status) == 66) return true;
#endif
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

QK_TEST(what_was_cut_off_reads_as_zeros_and_is_marked) {
  const Mapped whole;
  const Mapped other;
  QK_CHECK_EQ(whole.sum(), file_size);
  QK_CHECK_OK(whole.check(0, file_size));
  whole.cut(10 * page_size);
  QK_CHECK_EQ(whole.sum(), 10 * page_size);
  QK_CHECK_FAILS(whole.check(0, file_size), Code::kValue, "bytes since it was opened");
  QK_CHECK_FAILS(whole.file().check_size(), Code::kValue, "shrank from");
  QK_CHECK_EQ(other.sum(), file_size);
  QK_CHECK_OK(other.check(0, file_size));
  whole.cut(0);
  QK_CHECK_EQ(whole.sum(), 0);
  QK_CHECK_OK(other.file().check_size());
}

QK_TEST(a_file_that_grows_back_stays_marked) {
  const Mapped whole;
  whole.cut(0);
  QK_CHECK_EQ(whole.sum(), 0);
  whole.cut(file_size);
  QK_CHECK_FAILS(whole.file().check_size(), Code::kValue, "pages of the mapped file");
}

QK_TEST(a_map_in_the_place_of_one_that_was_cut_is_whole) {
  for (int i = 0; i < 200; ++i) {  // more than the entries that there are without memory
    auto gone = std::make_unique<Mapped>();
    gone->cut(0);
    QK_CHECK_EQ(gone->sum(), 0);
    gone.reset();
    const Mapped fresh;
    QK_CHECK_EQ(fresh.sum(), file_size);
    QK_CHECK_OK(fresh.file().check_size());
  }
}

QK_TEST(many_files_at_once_are_each_watched) {
  std::vector<std::unique_ptr<Mapped>> files;
  files.reserve(150);
  for (int i = 0; i < 150; ++i) files.push_back(std::make_unique<Mapped>());
  for (const auto& file : files) file->cut(0);
  for (const auto& file : files) QK_CHECK_EQ(file->sum(), 0);
}

QK_TEST(threads_that_run_into_it_together_all_get_on) {
  const Mapped whole;
  std::vector<std::thread> readers;
  readers.reserve(8);
  whole.cut(page_size);
  for (int i = 0; i < 8; ++i) readers.emplace_back([&] { QK_CHECK_EQ(whole.sum(), page_size); });
  for (std::thread& reader : readers) reader.join();
}

QK_TEST(a_forked_child_gets_on_too) {
  const Mapped whole;
  const int status = status_of_child([&] {
    whole.cut(page_size);
    return whole.sum() == page_size && !whole.file().check_size().ok();
  });
  QK_CHECK_EQ(status, 0);
}

// A map that is none of ours, of an empty file.
volatile uint8_t* map_without_pages() {
  std::string name = (std::filesystem::temp_directory_path() / "qk-foreign-XXXXXX").string();
  const int fd = ::mkstemp(name.data());
  void* pages = ::mmap(nullptr, static_cast<size_t>(page_size), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  std::filesystem::remove(name);
  return static_cast<volatile uint8_t*>(pages);
}

QK_TEST(another_bus_error_ends_the_process_as_before) {
  const Mapped whole;
  const int fault = status_of_child([] { return map_without_pages()[0] == 0; });
  QK_CHECK(is_bus_error(fault));
  const int sent = status_of_child([] { return ::kill(::getpid(), SIGBUS) != 0; });
  QK_CHECK(is_bus_error(sent));
  const int raised = status_of_child([] { return ::raise(SIGBUS) != 0; });
  QK_CHECK(is_bus_error(raised));
}

// As faulthandler does: a report, then the handler that was there before.
struct sigaction before_reporter = {};
volatile sig_atomic_t reports = 0;
void report(int signal) {
  reports = reports + 1;
  ::sigaction(signal, &before_reporter, nullptr);
  ::raise(signal);
}
void install_reporter() {
  struct sigaction action = {};
  action.sa_handler = report;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGBUS, &action, &before_reporter);
}

QK_TEST(a_handler_that_comes_first_and_passes_the_signal_on_harms_nothing) {
  const int status = status_of_child([] {
    const Mapped whole;
    install_reporter();
    whole.cut(page_size);
    return whole.sum() == page_size && reports == 1;
  });
  QK_CHECK_EQ(status, 0);
}

QK_TEST(a_handler_that_was_there_before_gets_what_is_not_a_map) {
  const int own = status_of_child([] {
    install_reporter();
    const Mapped whole;
    whole.cut(page_size);
    return whole.sum() == page_size && reports == 0;
  });
  QK_CHECK_EQ(own, 0);
  const int foreign = status_of_child([] {
    install_reporter();
    const Mapped whole;
    return map_without_pages()[0] == 0;
  });
  QK_CHECK(is_bus_error(foreign));
}

QK_TEST(handlers_that_lead_to_one_another_end) {
  const int status = status_of_child([] {
    const Mapped first;
    install_reporter();
    const Mapped second;  // on top of the reporter, which was on top of this
    first.cut(page_size);
    if (first.sum() != page_size || reports != 0) return false;
    return map_without_pages()[0] == 0;
  });
  QK_CHECK(is_bus_error(status));
}

}  // namespace
}  // namespace qk
