#include <sys/mman.h>

#include <new>

#include "host/block.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define FORBID(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define ALLOW(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define FORBID(p, n) static_cast<void>(p)
#define ALLOW(p, n) static_cast<void>(p)
#endif

namespace fastnn::cuda::shim {

namespace {
// Red zones of 256 bytes lie between the arrays.
constexpr size_t kRedZone = 256, kRoom = kSharedLimit + 64 * (kRedZone + 128);
constexpr int kPoison = 0xff;  // NaN in every floating type
}  // namespace

SharedMemory::SharedMemory() {
  void* p = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(p);
  FORBID(memory_, kRoom);
}

SharedMemory::~SharedMemory() {
  ALLOW(memory_, kRoom);
  munmap(memory_, kRoom);
}

void SharedMemory::reset(size_t dynamic_bytes) {
  for (const Piece& piece : pieces_) FORBID(piece.begin, piece.bytes);
  pieces_.clear();
  used_ = static_bytes_ = 0;
  dynamic_bytes_ = dynamic_bytes;
  dynamic_ = dynamic_bytes ? hand_out(nullptr, dynamic_bytes, 128) : nullptr;
}

char* SharedMemory::hand_out(const void* tag, size_t bytes, size_t align) {
  used_ = (used_ + kRedZone + align - 1) / align * align;
  char* begin = memory_ + used_;
  used_ += bytes;
  ALLOW(begin, bytes);
  std::memset(begin, kPoison, bytes);
  pieces_.push_back({tag, begin, bytes});
  return begin;
}

void* SharedMemory::array(const void* tag, size_t bytes) {
  for (const Piece& piece : pieces_)
    if (piece.tag == tag) return piece.begin;
  static_bytes_ += bytes;
  if (static_bytes_ > kStaticSharedLimit || static_bytes_ + dynamic_bytes_ > kSharedLimit)
    fault("more shared memory than a block may have");
  return hand_out(tag, bytes, 16);
}

bool SharedMemory::contains(const void* p, size_t bytes) const {
  const auto* c = static_cast<const char*>(p);
  for (const Piece& piece : pieces_)
    if (c >= piece.begin && c + bytes <= piece.begin + piece.bytes) return true;
  return false;
}

}  // namespace fastnn::cuda::shim
