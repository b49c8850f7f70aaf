#include "crypto/key.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "crypto/openssl.hpp"

namespace fleetward::crypto {

namespace {

std::shared_ptr<EVP_PKEY> share(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

// OpenSSL's default would ask for a passphrase on the terminal and wait for it.
int refuse_passphrase(char*, int, int, void*) { return -1; }

bool is_on_p256(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  std::array<char, 64> group{};
  std::size_t size = 0;
  return EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
         std::string_view(group.data(), size) == SN_X9_62_prime256v1;
}

Error not_p256() { return Error(ErrorCode::invalid_argument, "the key is not an elliptic curve key on P-256"); }

}  // namespace

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  if (pem.size() > key_pem_bytes_max) return Error(ErrorCode::invalid_argument, "public key: too long");
  const BioHandle bio = bio_over(as_bytes(pem));
  auto key = share(PEM_read_bio_PUBKEY(bio.get(), nullptr, refuse_passphrase, nullptr));
  if (!key) return openssl_error(ErrorCode::invalid_argument, "read public key");
  if (!is_on_p256(key.get())) return not_p256();
  return PublicKey(std::move(key));
}

Result<PublicKey> PublicKey::from_der(ByteView der) {
  if (der.size() > key_pem_bytes_max) return Error(ErrorCode::invalid_argument, "public key: too long");
  const std::uint8_t* cursor = der.data();
  auto key = share(d2i_PUBKEY(nullptr, &cursor, static_cast<long>(der.size())));
  if (!key || cursor != der.data() + der.size()) return openssl_error(ErrorCode::invalid_argument, "read public key");
  if (!is_on_p256(key.get())) return not_p256();
  return PublicKey(std::move(key));
}

std::string PublicKey::to_pem() const {
  const BioHandle bio = bio_to_write();
  if (PEM_write_bio_PUBKEY(bio.get(), key_.get()) != 1) std::abort();
  return bio_text(bio.get());
}

Bytes PublicKey::to_der() const { return crypto::to_der(key_.get(), i2d_PUBKEY); }

bool PublicKey::is_p256() const { return is_on_p256(key_.get()); }

bool PublicKey::verify(ByteView message, ByteView signature) const { return verify_digest(sha256(message), signature); }

bool PublicKey::verify_digest(const Sha256Digest& digest, ByteView signature) const {
  const PkeyContextHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  const bool valid =
      context && is_p256() && EVP_PKEY_verify_init(context.get()) == 1 &&
      EVP_PKEY_verify(context.get(), signature.data(), signature.size(), digest.data(), digest.size()) == 1;
  if (!valid) take_openssl_errors();
  return valid;
}

Result<PrivateKey> PrivateKey::generate() {
  auto key = share(EVP_EC_gen("P-256"));
  if (!key) return openssl_error(ErrorCode::internal, "generate key");
  return PrivateKey(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > key_pem_bytes_max) return Error(ErrorCode::invalid_argument, "private key: too long");
  const BioHandle bio = bio_over(as_bytes(pem));
  auto key = share(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, nullptr));
  if (!key) return openssl_error(ErrorCode::invalid_argument, "read private key");
  if (!is_on_p256(key.get())) return not_p256();
  return PrivateKey(std::move(key));
}

std::string PrivateKey::to_pem() const {
  const BioHandle bio(BIO_new(BIO_s_secmem()));  // wiped when it is freed
  if (!bio || PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    std::abort();
  }
  return bio_text(bio.get());
}

PublicKey PrivateKey::public_key() const {
  // By way of its encoding, so that a public key's handle never carries the secret along.
  const Bytes der = crypto::to_der(key_.get(), i2d_PUBKEY);
  Result<PublicKey> key = PublicKey::from_der(der);
  return std::move(key).value();
}

Result<Bytes> PrivateKey::sign(ByteView message) const { return sign_digest(sha256(message)); }

Result<Bytes> PrivateKey::sign_digest(const Sha256Digest& digest) const {
  const PkeyContextHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  std::size_t size = 0;
  if (!context || EVP_PKEY_sign_init(context.get()) != 1 ||
      EVP_PKEY_sign(context.get(), nullptr, &size, digest.data(), digest.size()) != 1) {
    return openssl_error(ErrorCode::internal, "sign");
  }
  Bytes signature(size);
  if (EVP_PKEY_sign(context.get(), signature.data(), &size, digest.data(), digest.size()) != 1) {
    return openssl_error(ErrorCode::internal, "sign");
  }
  signature.resize(size);
  return signature;
}

}  // namespace fleetward::crypto
