// Who may say what on the tables that gateways enforce by: the signatures of records on topics access and certificates
// (docs/adr/0010-signed-records.md). Pure; values, so any thread.
//
// Signed is all that gives a record its meaning: topic, key, version and value. So a record cannot be moved to another
// key or topic, nor made newer; one that is replayed is not newer than what is known. A signature counts when its key
// is listed and its role may sign that topic.
//
// Limits: signers_max keys, signature_bytes_max of a header; what is larger is no signature.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "crypto/key.hpp"
#include "json/json.hpp"

namespace fleetward::access {

constexpr std::size_t signers_max = 64;
constexpr std::size_t signature_bytes_max = 256;

// The roles that decide what these topics say, each with a key of its own.
inline constexpr std::array<std::string_view, 3> signing_roles = {"api", "pki", "responder"};
// What a role's key is made to sign.
std::vector<std::string> topics_of_role(std::string_view role);
// Whether records of that topic carry a signature.
bool is_signed_topic(std::string_view topic);

// What is signed of a record; `version` as its header has it.
struct SignedContent {
  std::string_view topic;
  std::string_view key;
  std::string_view version;
  std::string_view value;
};
crypto::Sha256Digest digest_of(const SignedContent& content);

// A key's name: by what it is, so that one id can never stand for two keys. 32 hex digits.
std::string key_id_of(const crypto::PublicKey& key);

// The header of a signed record: KEYID:BASE64 of the DER signature.
struct Signature {
  std::string key_id;
  Bytes bytes;
};
std::string to_text(const Signature& signature);
Result<Signature> parse_signature(std::string_view text);

// The private half.
class RecordKey {
 public:
  explicit RecordKey(crypto::PrivateKey key) : key_(std::move(key)), id_(key_id_of(key_.public_key())) {}
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] crypto::PublicKey public_key() const { return key_.public_key(); }
  // The header's value.
  [[nodiscard]] Result<std::string> sign(const SignedContent& content) const;

 private:
  crypto::PrivateKey key_;
  std::string id_;
};

enum class Verdict { good, unsigned_record, unknown_key, wrong_role, bad_signature };
std::string_view to_string(Verdict verdict);  // good, unsigned, unknown_key, wrong_role, bad_signature

// A record that was found good before, by all that was judged of it.
using RecordMark = std::array<std::uint8_t, 16>;
RecordMark mark_of(const SignedContent& content, std::string_view signature);

struct RecordMarkHash {
  std::size_t operator()(const RecordMark& mark) const;
};
using RecordMarks = std::unordered_set<RecordMark, RecordMarkHash>;

// A key that may sign, as signers.json lists it.
struct Signer {
  std::string id;
  std::string role;
  std::vector<std::string> topics;
  crypto::PublicKey key;
};

// All of them.
class Signers {
 public:
  // Refuses what is no list of keys, a key twice, an id that is not its key's, a topic that is not signed.
  static Result<Signers> from_json(const json::Value& value);
  [[nodiscard]] json::Value to_json() const;

  // resource_exhausted: there are signers_max. A key that is there already is no error.
  Status add(std::string_view role, const crypto::PublicKey& key);
  [[nodiscard]] const Signer* find(std::string_view id) const;
  [[nodiscard]] const std::vector<Signer>& all() const { return all_; }

  // Of a record with that header (none: unsigned). Who is in `known` and signed by a key that may still sign is good
  // without another look at its signature, which is what costs.
  [[nodiscard]] Verdict check(const SignedContent& content, std::optional<std::string_view> signature,
                              const RecordMarks* known = nullptr) const;

 private:
  std::vector<Signer> all_;
};

}  // namespace fleetward::access
