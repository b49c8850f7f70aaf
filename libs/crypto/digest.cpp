#include "crypto/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdlib>

namespace fleetward::crypto {

namespace {

// OpenSSL looks an algorithm up by name at each one-shot call; for short inputs that costs more than the hash.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (algorithm == nullptr) std::abort();
  return algorithm;
}

const EVP_MD* sha1_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA1", nullptr);
  if (algorithm == nullptr) std::abort();
  return algorithm;
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// A digest over memory can fail only for want of memory or of the algorithm: neither can be survived.
void require(bool condition) {
  if (!condition) std::abort();
}

template <std::size_t Size>
std::array<std::uint8_t, Size> digest_once(const EVP_MD* algorithm, ByteView data) {
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  std::array<std::uint8_t, Size> out;
  require(context != nullptr && EVP_DigestInit_ex(context.get(), algorithm, nullptr) == 1);
  require(EVP_DigestUpdate(context.get(), data.data(), data.size()) == 1);
  require(EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1);
  return out;
}

}  // namespace

Sha256Digest sha256(ByteView data) { return digest_once<32>(sha256_algorithm(), data); }

std::string sha256_hex(ByteView data) { return to_hex(sha256(data)); }

Sha1Digest sha1(ByteView data) { return digest_once<20>(sha1_algorithm(), data); }

Sha256Digest hmac_sha256(ByteView key, ByteView data) {
  static const std::uint8_t no_byte = 0;  // HMAC() takes a null key as "reuse the last one"
  Sha256Digest out;
  unsigned size = 0;
  const void* key_bytes = key.empty() ? &no_byte : key.data();
  const auto* made =
      HMAC(sha256_algorithm(), key_bytes, static_cast<int>(key.size()), data.data(), data.size(), out.data(), &size);
  require(made != nullptr && size == out.size());
  return out;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  require(context_ != nullptr && EVP_DigestInit_ex(context_.get(), sha256_algorithm(), nullptr) == 1);
}

void Sha256::update(ByteView data) { require(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1); }

Sha256Digest Sha256::finish() {
  Sha256Digest out;
  require(EVP_DigestFinal_ex(context_.get(), out.data(), nullptr) == 1);
  require(EVP_DigestInit_ex(context_.get(), sha256_algorithm(), nullptr) == 1);
  return out;
}

bool equal_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

std::string id_from(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) {
    std::array<std::uint8_t, 8> length;
    for (std::size_t i = 0; i < length.size(); ++i) {
      length[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(part.size()) >> (56 - 8 * i));
    }
    hash.update(length);
    hash.update(part);
  }
  const Sha256Digest digest = hash.finish();
  return to_hex(ByteView(digest).first(16));
}

}  // namespace fleetward::crypto
