// ECDSA keys on P-256, the one kind of key that Fleetward makes.
//
// Handles are shared, never copied, and immutable after creation, so they may be used from several threads. A private
// key leaves its handle only as PEM that the caller asks for; it is never in an error, and it is wiped when the last
// handle goes. New keys and the nonces of signatures come from OpenSSL's own generator, not from a Random: nothing
// should be able to make them guessable.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/text.hpp"
#include "crypto/digest.hpp"

struct evp_pkey_st;

namespace fleetward::crypto {

// PEM larger than this is refused before it is parsed.
inline constexpr std::size_t key_pem_bytes_max = 16 * 1024;

// The public half: checks signatures. For certificates of others it may hold another kind of key (RSA), which only
// native() can use.
class PublicKey {
 public:
  explicit PublicKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  // SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in PEM or DER. P-256 only: invalid_argument for all else.
  static Result<PublicKey> from_pem(std::string_view pem);
  static Result<PublicKey> from_der(ByteView der);

  [[nodiscard]] std::string to_pem() const;
  [[nodiscard]] Bytes to_der() const;
  // Whether the key is on the named curve prime256v1 (RFC 5480).
  [[nodiscard]] bool is_p256() const;

  // True when `signature` (DER ECDSA-Sig-Value) is the key's over SHA-256 of the message. Malformed signatures are
  // simply false.
  [[nodiscard]] bool verify(ByteView message, ByteView signature) const;
  [[nodiscard]] bool verify_digest(const Sha256Digest& digest, ByteView signature) const;

  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

class PrivateKey {
 public:
  // The handle may be a file's key or one that lives in a token; only P-256 is accepted by the readers below.
  explicit PrivateKey(std::shared_ptr<evp_pkey_st> key) : key_(std::move(key)) {}

  static Result<PrivateKey> generate();
  // PKCS#8 or SEC 1 PEM, unencrypted. A key under a passphrase is refused, never asked for on a terminal.
  static Result<PrivateKey> from_pem(std::string_view pem);

  [[nodiscard]] std::string to_pem() const;  // PKCS#8; a secret
  [[nodiscard]] PublicKey public_key() const;

  // DER ECDSA-Sig-Value over SHA-256 of the message.
  [[nodiscard]] Result<Bytes> sign(ByteView message) const;
  [[nodiscard]] Result<Bytes> sign_digest(const Sha256Digest& digest) const;

  [[nodiscard]] evp_pkey_st* native() const { return key_.get(); }

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace fleetward::crypto
