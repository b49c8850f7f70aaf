// OpenSSL's record buffers, kept for the next record of the thread.
//
// With SSL_MODE_RELEASE_BUFFERS a connection at rest holds none, but each record takes one of 16 KiB and gives it back:
// from the heap that is a tenth of what a small message costs, as the chunk is split off and merged again each time.
// Here each thread keeps the last that was given back. Everything else is malloc's.
#include <malloc.h>
#include <openssl/crypto.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "net/tls_session.hpp"

namespace fleetward::net {
namespace {

constexpr std::size_t smallest = 16 << 10;
constexpr std::size_t largest = 17 << 10;
constexpr std::size_t kept_max = 2;  // one to read into, one to write from

struct Kept {
  Kept() = default;
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    for (void*& buffer : buffers) std::free(std::exchange(buffer, nullptr));
    count = kept_max;  // what is given back after this goes to the heap
  }
  std::array<void*, kept_max> buffers{};  // the first `count` of them
  std::size_t count = 0;
};
thread_local Kept kept;

void* take(std::size_t size, const char*, int) {
  if (size == 0) return nullptr;  // as OpenSSL's own
  if (size < smallest || size > largest) return std::malloc(size);
  if (kept.count == 0 || kept.buffers[kept.count - 1] == nullptr) return std::malloc(largest);
  return std::exchange(kept.buffers[--kept.count], nullptr);
}

void give(void* buffer, const char*, int) {
  if (buffer == nullptr) return;
  const std::size_t size = malloc_usable_size(buffer);
  if (size < largest || size > largest + 64 || kept.count == kept_max) return std::free(buffer);
  kept.buffers[kept.count++] = buffer;
}

void* resize(void* buffer, std::size_t size, const char*, int) { return std::realloc(buffer, size); }

}  // namespace

bool keep_record_buffers() { return CRYPTO_set_mem_functions(take, resize, give) == 1; }

}  // namespace fleetward::net
