#include "crypto/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace fleetward::crypto {

Sha256Digest sha256(ByteView data) {
  Sha256Digest out;
  SHA256(data.data(), data.size(), out.data());
  return out;
}

std::string sha256_hex(ByteView data) {
  const Sha256Digest digest = sha256(data);
  return to_hex(digest);
}

Sha1Digest sha1(ByteView data) {
  Sha1Digest out;
  SHA1(data.data(), data.size(), out.data());
  return out;
}

Sha256Digest hmac_sha256(ByteView key, ByteView data) {
  Sha256Digest out;
  unsigned int length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(), out.data(), &length);
  return out;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new(), [](EVP_MD_CTX* c) { EVP_MD_CTX_free(c); }) {
  EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
}

void Sha256::update(ByteView data) { EVP_DigestUpdate(context_.get(), data.data(), data.size()); }

Sha256Digest Sha256::finish() {
  Sha256Digest out;
  EVP_DigestFinal_ex(context_.get(), out.data(), nullptr);
  EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  return out;
}

bool equal_constant_time(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

std::string id_from(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const std::string_view part : parts) {
    std::array<std::uint8_t, 8> length;
    for (std::size_t i = 0; i < 8; ++i)
      length[i] = static_cast<std::uint8_t>(std::uint64_t{part.size()} >> (56 - 8 * i));
    hash.update(ByteView(length));
    hash.update(part);
  }
  const Sha256Digest digest = hash.finish();
  return to_hex(ByteView(digest).first(16));
}

}  // namespace fleetward::crypto
