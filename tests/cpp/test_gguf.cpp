// The GGUF reader against bytes: whatever they are, it answers with a Status and reads nothing that
// is not there. Images lie in buffers of their exact size, so that a sanitizer sees a byte too
// many.

#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "check.h"
#include "gguf/reader.h"
#include "gguf_image.h"

namespace {

using qk::Code;
using qk::Status;
using qk::gguf::Access;
using qk::gguf::Reader;
using qk::gguf::Strings;
using qk::gguf::Value;
using qk::gguf::ValueType;
using qk::test::Context;
using qk::test::Image;
using qk::test::kF32;
using qk::test::kQ4K;
using qk::test::kQ80;
using qk::test::kRemoved;

// One of everything; the last tensor ends with the file.
Image valid_image() {
  Image image(5, 15);
  image.key("general.alignment", ValueType::kUint32).u32(64);
  image.key("u8", ValueType::kUint8).number(uint8_t{200});
  image.key("i8", ValueType::kInt8).number(int8_t{-3});
  image.key("u16", ValueType::kUint16).number(uint16_t{60000});
  image.key("i16", ValueType::kInt16).number(int16_t{-300});
  image.key("i32", ValueType::kInt32).number(int32_t{-70000});
  image.key("f32", ValueType::kFloat32).number(1.5F);
  image.key("u64", ValueType::kUint64).u64(uint64_t{1} << 40);
  image.key("i64", ValueType::kInt64).number(int64_t{-5});
  image.key("f64", ValueType::kFloat64).number(2.5);
  image.key("bool", ValueType::kBool).number(uint8_t{1});
  image.key("string", ValueType::kString).text("hello");
  image.array("strings", ValueType::kString, 3).text("a").text("").text("bcd");
  image.array("bools", ValueType::kBool, 3).raw(std::string_view("\1\0\1", 3));
  image.key("qkernels.k.padded", ValueType::kUint32).u32(300);
  image.tensor("matrix", {32, 3}, kQ80, 0);
  image.tensor("vector", {5}, kF32, 128);
  image.tensor("removed", {7}, kRemoved, 192);
  image.tensor("experts", {32, 2, 2}, kQ80, 0);
  image.tensor("padded", {512, 1}, kQ4K, 192);
  return image.pad(64).zeros(192 + 288);
}

struct Parsed {
  std::unique_ptr<uint8_t[]> bytes;
  Reader reader;
  Status status;
};

Parsed parse(std::string_view image) {
  Parsed parsed;
  parsed.bytes = std::make_unique<uint8_t[]>(image.size());
  if (!image.empty()) std::memcpy(parsed.bytes.get(), image.data(), image.size());
  parsed.status =
      Reader::parse(parsed.bytes.get(), static_cast<int64_t>(image.size()), &parsed.reader);
  return parsed;
}

// Reads everything that the reader says is there.
uint64_t touch(const Reader& reader) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < reader.keys().size(); ++i) {
    const Value& value = reader.value(i);
    for (int64_t b = 0; b < value.raw_size(); ++b) sum += value.raw()[b];
    if (value.type != ValueType::kString) continue;
    Strings strings(value);
    std::string_view text;
    for (int64_t s = 0; s < value.count; ++s) {
      QK_CHECK(strings.next(&text));
      sum += text.size();
    }
  }
  for (int64_t i = 0; i < reader.tensor_names().size(); ++i) {
    QK_CHECK(reader.tensor_names().find(reader.tensor_names()[i]) == i);
    std::span<const uint8_t> bytes;
    if (!reader.raw_bytes_of(i, &bytes).ok()) continue;
    for (const uint8_t byte : bytes) sum += byte;
  }
  return sum;
}

// What is said of the one tensor of a file that opens, with `data` bytes behind the table.
Status one_tensor(const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset, size_t data) {
  Image image(1, 0);
  image.tensor("t", ne, type, offset).pad(32).zeros(data);
  const Parsed parsed = parse(image.bytes());
  QK_CHECK_OK(parsed.status);
  touch(parsed.reader);
  const uint8_t* bytes = nullptr;
  const Status status = parsed.reader.bytes_of(0, &bytes);
  QK_CHECK_EQ(status.ok(), parsed.reader.fault_of(0).ok());
  return status;
}

// A file with these bytes that is gone with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view bytes) {
    const int fd = ::mkstemp(path_);
    QK_CHECK(fd >= 0);
    QK_CHECK(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }
  ~TemporaryFile() { ::unlink(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/qk_test_gguf_XXXXXX";
};

QK_TEST(a_valid_image_reads_back) {
  const Parsed parsed = parse(valid_image().bytes());
  QK_REQUIRE_OK(parsed.status);
  const Reader& reader = parsed.reader;
  QK_CHECK_EQ(reader.version(), 3U);
  QK_CHECK_EQ(reader.alignment(), 64U);
  QK_CHECK_EQ(reader.keys().size(), 15);
  QK_CHECK_EQ(reader.keys().find("nowhere"), -1);
  int64_t number = 0;
  QK_CHECK_OK(to_integer(reader.value(reader.keys().find("i16")), "i16", &number));
  QK_CHECK_EQ(number, -300);
  const Value& strings = reader.value(reader.keys().find("strings"));
  QK_CHECK_EQ(strings.count, 3);
  QK_CHECK_EQ(strings.size, 28);
  const int64_t padded = reader.tensor_names().find("padded");
  QK_CHECK_EQ(reader.tensor(padded).k, 300);
  QK_CHECK_EQ(reader.extents(padded)[0], 512);
  QK_CHECK_EQ(reader.tensor(padded).nbytes, 288);
  const uint8_t* data = nullptr;
  QK_CHECK_FAILS(reader.bytes_of(reader.tensor_names().find("removed"), &data), Code::kValue,
                 "tensor 'removed' has type q4_0_4_4 (31), which GGUF has removed");
  touch(reader);
}

QK_TEST(every_truncation_is_refused) {
  const std::string image = valid_image().bytes();
  const size_t table = image.size() - (192 + 288);
  for (size_t size = 0; size < image.size(); ++size) {
    const Context context("%zu of %zu bytes", size, image.size());
    const Parsed parsed = parse(std::string_view(image).substr(0, size));
    Status status = parsed.status;
    if (status.ok()) {  // a file that is cut in its data has a tensor that is not there
      QK_CHECK(size + 64 > table);
      touch(parsed.reader);
      status = parsed.reader.fault_of(parsed.reader.tensor_names().find("padded"));
    }
    QK_CHECK_FAILS(status, Code::kValue, "");
    QK_CHECK(status.message[0] != '\0');
  }
}

QK_TEST(every_changed_byte_is_read_or_refused) {
  const std::string image = valid_image().bytes();
  const size_t head = image.size() - (192 + 288);
  int refused = 0;
  for (size_t at = 0; at < head; ++at) {
    for (const int change : {0x00, 0x01, 0x02, 0x08, 0x09, 0x1f, 0x7f, 0x80, 0xff, -1}) {
      std::string changed = image;
      changed[at] = static_cast<char>(change < 0 ? changed[at] ^ 0x40 : change);
      const Context context("byte %zu is %d", at, changed[at]);
      const Parsed parsed = parse(changed);
      if (parsed.status.ok()) {
        touch(parsed.reader);
      } else {
        QK_CHECK_FAILS(parsed.status, Code::kValue, "");
        ++refused;
      }
    }
  }
  QK_CHECK(refused > 500);
}

QK_TEST(sizes_that_wrap_are_refused) {
  constexpr uint64_t kHuge = uint64_t{1} << 62;
  QK_CHECK_FAILS(one_tensor({kHuge}, kF32, 0, 64), Code::kValue,
                 "tensor 't' of shape [4611686018427387904] in f32 has 2^63 bytes or more");
  QK_CHECK_FAILS(one_tensor({kHuge, 4}, kF32, 0, 64), Code::kValue, "has 2^63 elements or more");
  QK_CHECK_FAILS(one_tensor({kHuge, 4, 0, 1}, kF32, 0, 64), Code::kValue,
                 "has 2^63 elements or more");
  QK_CHECK_FAILS(one_tensor({~uint64_t{0}}, kF32, 0, 64), Code::kValue,
                 "has 18446744073709551615 elements in dimension 0");
  QK_CHECK_FAILS(one_tensor({16}, kF32, ~uint64_t{31}, 64), Code::kValue,
                 "has offset 18446744073709551584 into the data");
  QK_CHECK_FAILS(one_tensor({16}, kF32, (uint64_t{1} << 63) - 32, 64), Code::kValue,
                 "has offset 9223372036854775776 into the data");
  QK_CHECK_FAILS(one_tensor({32, uint64_t{1} << 58}, kF32, 32, 64), Code::kValue, "2^63");
}

QK_TEST(a_tensor_must_lie_in_the_file) {
  QK_CHECK_OK(one_tensor({16}, kF32, 0, 64));
  QK_CHECK_FAILS(one_tensor({17}, kF32, 0, 64), Code::kValue,
                 "tensor 't' ends at byte 132 of a file of 128");
  QK_CHECK_FAILS(one_tensor({16}, kF32, 64, 64), Code::kValue, "tensor 't' has offset 64 into");
  QK_CHECK_FAILS(one_tensor({4}, kF32, 4, 64), Code::kValue,
                 "tensor 't' has offset 4, no multiple of the alignment 32");
  QK_CHECK_FAILS(one_tensor({300}, kQ4K, 0, 64), Code::kValue,
                 "tensor 't' has rows of 300 weights, no multiple of the 256 in a q4_k block");
}

QK_TEST(tensors_of_every_rank_are_read) {
  QK_CHECK_OK(one_tensor({}, kF32, 0, 4));
  QK_CHECK_OK(one_tensor({0}, kF32, 0, 0));
  QK_CHECK_OK(one_tensor({4, 0, 4}, kF32, ~uint64_t{0}, 0));
  QK_CHECK_OK(one_tensor({2, 2, 2, 2, 2}, kF32, 0, 128));
  QK_CHECK_OK(one_tensor(std::vector<uint64_t>(64, 1), kF32, 0, 4));
  QK_CHECK_FAILS(one_tensor(std::vector<uint64_t>(65, 1), kF32, 0, 4), Code::kValue,
                 "tensor 't' has 65 dimensions; qkernels reads at most 64");
  QK_CHECK_FAILS(one_tensor({}, kQ80, 0, 34), Code::kValue, "has rows of 1 weights");
}

QK_TEST(an_entry_at_fault_costs_no_other) {
  Image image(3, 1);
  image.key("qkernels.k.deep", ValueType::kUint32).u32(7);
  image.tensor("odd", {33}, kQ80, 0).tensor("deep", {16}, kF32, 0).tensor("t", {16}, kF32, 0);
  const Parsed parsed = parse(image.pad(32).zeros(64).bytes());
  QK_REQUIRE_OK(parsed.status);
  const uint8_t* data = nullptr;
  QK_CHECK_FAILS(parsed.reader.bytes_of(0, &data), Code::kValue, "tensor 'odd' has rows of 33");
  QK_CHECK_FAILS(parsed.reader.bytes_of(1, &data), Code::kValue,
                 "key 'qkernels.k.deep' is 7, which does not round up to rows of 16");
  QK_CHECK_OK(parsed.reader.bytes_of(2, &data));
}

QK_TEST(arrays_of_arrays_are_walked_without_recursion) {
  constexpr int kDeep = 100000;
  Image image(0, 2);
  image.key("deep", ValueType::kArray);
  for (int i = 0; i < kDeep; ++i) image.u32(9).u64(1);
  image.u32(0).u64(0);
  image.key("after", ValueType::kUint8).number(uint8_t{1});
  const Parsed parsed = parse(image.bytes());
  QK_REQUIRE_OK(parsed.status);
  QK_CHECK_EQ(parsed.reader.value(0).raw_size(), 4 + 12 * (kDeep + 1));
  QK_CHECK_EQ(parsed.reader.keys().find("after"), 1);
  touch(parsed.reader);
}

QK_TEST(promises_are_refused_before_memory_is_taken) {
  for (const uint64_t count : {uint64_t{4}, uint64_t{262144}, uint64_t{262145}, ~uint64_t{0}}) {
    const Context context("count=%llu", static_cast<unsigned long long>(count));
    QK_CHECK_FAILS(parse(Image(count, 0).zeros(40).bytes()).status, Code::kValue, "promises");
    QK_CHECK_FAILS(parse(Image(0, count).zeros(20).bytes()).status, Code::kValue, "promises");
  }
  Image strings(0, 1);
  strings.array("key", ValueType::kString, uint64_t{1} << 60).zeros(64);
  QK_CHECK_FAILS(parse(strings.bytes()).status, Code::kValue,
                 "an array of 1152921504606846976 string values, with 64 bytes left");
}

QK_TEST(metadata_is_read_up_to_its_limit) {
  // Pages that are never touched cost nothing, so a file of 300 MiB can be tried.
  constexpr size_t kSize = size_t{300} << 20;
  void* pages = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  QK_REQUIRE(pages != MAP_FAILED);
  auto* data = static_cast<uint8_t*>(pages);
  const uint64_t rest = (uint64_t{256} << 20) - (24 + 11 + 16);
  for (const uint64_t count : {rest, rest + 1, uint64_t{299} << 20}) {
    Image image(0, 1);
    image.array("key", ValueType::kUint8, count);
    std::memcpy(data, image.bytes().data(), image.bytes().size());
    Reader reader;
    const Status status = Reader::parse(data, kSize, &reader);
    if (count == rest) {
      QK_CHECK_OK(status);
    } else {
      QK_CHECK_FAILS(status, Code::kValue, "left of the 256 MiB of metadata");
    }
  }
  ::munmap(pages, kSize);
}

QK_TEST(names_in_messages_are_short_and_plain) {
  const std::string name = std::string("bad\n\xff") + std::string(100000, 'x');
  Image image(0, 2);
  for (int i = 0; i < 2; ++i) image.key(name, ValueType::kBool).number(uint8_t{0});
  const Status status = parse(image.bytes()).status;
  QK_CHECK_FAILS(status, Code::kValue, "key 'bad\\x0a\\xffxxxx");
  QK_CHECK_FAILS(status, Code::kValue, "...' occurs twice");
}

QK_TEST(a_file_is_mapped_or_copied) {
  const std::string image = valid_image().bytes();
  const TemporaryFile file(image);
  for (const Access access : {Access::kMap, Access::kCopy}) {
    const Context context("access %d", static_cast<int>(access));
    Reader reader;
    QK_REQUIRE_OK(Reader::open(file.path(), access, &reader));
    QK_CHECK_EQ(reader.size(), static_cast<int64_t>(image.size()));
    touch(reader);
  }
  Reader reader;
  QK_CHECK_FAILS(Reader::open("/nonexistent", Access::kMap, &reader), Code::kOs, "open");
  QK_CHECK_FAILS(Reader::open("/tmp", Access::kMap, &reader), Code::kOs, "directory");
  QK_CHECK_FAILS(Reader::open("/dev/null", Access::kCopy, &reader), Code::kValue, "regular file");
}

QK_TEST(a_file_that_shrank_is_noticed) {
  const std::string image = valid_image().bytes();
  const TemporaryFile file(image);
  Reader mapped;
  Reader copied;
  QK_REQUIRE_OK(Reader::open(file.path(), Access::kMap, &mapped));
  QK_REQUIRE_OK(Reader::open(file.path(), Access::kCopy, &copied));
  QK_REQUIRE(::truncate(file.path(), 100) == 0);
  const uint8_t* data = nullptr;
  char part[64];
  std::snprintf(part, sizeof(part), "shrank from %zu to 100 bytes", image.size());
  QK_CHECK_FAILS(mapped.bytes_of(0, &data), Code::kValue, part);
  QK_CHECK_FAILS(mapped.check_size(), Code::kValue, part);
  QK_CHECK_OK(copied.bytes_of(0, &data));
  touch(copied);
}

}  // namespace
