#include "crypto/key.hpp"

#include <openssl/ec.h>
#include <openssl/pem.h>

#include "crypto/openssl.hpp"

namespace fleetward::crypto {
namespace {

// Never asks on a terminal: an encrypted key is simply not accepted.
int no_passphrase(char*, int, int, void*) { return -1; }

std::shared_ptr<evp_pkey_st> share(EVP_PKEY* key) {
  return std::shared_ptr<evp_pkey_st>(key, [](EVP_PKEY* k) { EVP_PKEY_free(k); });
}

bool on_p256(const EVP_PKEY* key) {
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return false;
  std::array<char, 64> name{};
  std::size_t length = 0;
  return EVP_PKEY_get_group_name(key, name.data(), name.size(), &length) == 1 &&
         std::string_view(name.data(), length) == "prime256v1";
}

template <class Key>
Result<Key> only_p256(EVP_PKEY* raw, std::string_view what) {
  if (raw == nullptr) {
    take_openssl_errors();
    return Error(ErrorCode::invalid_argument, fmt::format("not {}", what));
  }
  auto key = share(raw);
  if (!on_p256(raw)) return Error(ErrorCode::invalid_argument, "the key is not on the curve P-256 (prime256v1)");
  return Key(std::move(key));
}

}  // namespace

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  if (pem.size() > key_pem_bytes_max) return Error(ErrorCode::resource_exhausted, "the PEM text is too long for a key");
  const BioHandle bio = bio_over(as_bytes(pem));
  return only_p256<PublicKey>(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr), "a public key in PEM");
}

Result<PublicKey> PublicKey::from_der(ByteView der) {
  if (der.size() > key_pem_bytes_max) return Error(ErrorCode::resource_exhausted, "the DER is too long for a key");
  const unsigned char* cursor = der.data();
  EVP_PKEY* key = d2i_PUBKEY(nullptr, &cursor, static_cast<long>(der.size()));
  if (key != nullptr && cursor != der.data() + der.size()) {
    EVP_PKEY_free(key);
    key = nullptr;
  }
  return only_p256<PublicKey>(key, "a public key in DER");
}

std::string PublicKey::to_pem() const {
  const BioHandle bio = bio_to_write();
  PEM_write_bio_PUBKEY(bio.get(), key_.get());
  return bio_text(bio.get());
}

Bytes PublicKey::to_der() const { return crypto::to_der(key_.get(), i2d_PUBKEY); }
bool PublicKey::is_p256() const { return on_p256(key_.get()); }
bool PublicKey::verify(ByteView message, ByteView signature) const { return verify_digest(sha256(message), signature); }

bool PublicKey::verify_digest(const Sha256Digest& digest, ByteView signature) const {
  const PkeyContextHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  const bool good =
      context && EVP_PKEY_verify_init(context.get()) == 1 &&
      EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
      EVP_PKEY_verify(context.get(), signature.data(), signature.size(), digest.data(), digest.size()) == 1;
  take_openssl_errors();
  return good;
}

Result<PrivateKey> PrivateKey::generate() {
  EVP_PKEY* key = EVP_EC_gen("prime256v1");
  if (key == nullptr) return openssl_error(ErrorCode::internal, "generate a key");
  return PrivateKey(share(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > key_pem_bytes_max) return Error(ErrorCode::resource_exhausted, "the PEM text is too long for a key");
  const BioHandle bio = bio_over(as_bytes(pem));
  return only_p256<PrivateKey>(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr),
                               "an unencrypted private key in PEM");
}

std::string PrivateKey::to_pem() const {
  const BioHandle bio = bio_to_write();
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(bio.get());
}

PublicKey PrivateKey::public_key() const { return PublicKey(key_); }
Result<Bytes> PrivateKey::sign(ByteView message) const { return sign_digest(sha256(message)); }

Result<Bytes> PrivateKey::sign_digest(const Sha256Digest& digest) const {
  const PkeyContextHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  std::size_t size = 128;  // a P-256 signature takes at most 72
  Bytes out(size);
  const bool good = context && EVP_PKEY_sign_init(context.get()) == 1 &&
                    EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) == 1 &&
                    EVP_PKEY_sign(context.get(), out.data(), &size, digest.data(), digest.size()) == 1;
  if (!good) return openssl_error(ErrorCode::internal, "sign");
  out.resize(size);
  return out;
}

}  // namespace fleetward::crypto
