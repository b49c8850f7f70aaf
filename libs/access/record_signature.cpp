#include "access/record_signature.hpp"

#include <algorithm>
#include <cstring>

#include "core/text.hpp"
#include "fleet/topics.hpp"

namespace fleetward::access {
namespace {

constexpr std::string_view domain = "fleetward record signature 1";
constexpr std::string_view mark_domain = "fleetward record mark 1";
constexpr std::size_t key_id_digits = 32;
constexpr std::size_t role_bytes_max = 64;
constexpr int format = 1;

// Its length before each part: where one ends and the next begins cannot be moved.
void add(crypto::Sha256& sum, std::string_view part) {
  std::array<std::uint8_t, 8> size{};
  for (std::size_t i = 0; i < size.size(); ++i) size[i] = static_cast<std::uint8_t>(part.size() >> (8 * i));
  sum.update(ByteView(size));
  sum.update(part);
}

bool has(const std::vector<std::string>& topics, std::string_view topic) {
  return std::find(topics.begin(), topics.end(), topic) != topics.end();
}

bool is_key_id(std::string_view text) {
  return text.size() == key_id_digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Signer> signer_from_json(const json::Value& value, const std::string& path) {
  json::Reader r(value, path);
  const std::string id = r.text("id", 1, key_id_digits);
  const std::string role = r.text("role", 1, role_bytes_max);
  const std::vector<std::string> topics = r.texts_or_empty("topics", 16, 256);
  const std::string pem = r.text("publicKey", 1, crypto::key_pem_bytes_max);
  r.refuse_unknown();
  for (const std::string& topic : topics) {
    if (!is_signed_topic(topic)) r.problem("topics", "names a topic whose records are not signed");
  }
  if (const Status s = r.finish(); !s) return s.error();
  auto key = crypto::PublicKey::from_pem(pem);
  if (!key) return key.error().with_context(path + ".publicKey");
  if (key_id_of(*key) != id) return Error(ErrorCode::invalid_argument, path + ".id is not that of its key");
  return Signer{id, role, topics, std::move(*key)};
}

}  // namespace

bool is_signed_topic(std::string_view topic) {
  return topic == fleet::topic::access || topic == fleet::topic::certificates;
}

std::vector<std::string> topics_of_role(std::string_view role) {
  const std::string certificates(fleet::topic::certificates);
  if (role == "pki") return {certificates};
  if (role == "api" || role == "responder") return {std::string(fleet::topic::access), certificates};
  return {};
}

crypto::Sha256Digest digest_of(const SignedContent& content) {
  crypto::Sha256 sum;
  add(sum, domain);
  add(sum, content.topic);
  add(sum, content.key);
  add(sum, content.version);
  add(sum, content.value);
  return sum.finish();
}

std::string key_id_of(const crypto::PublicKey& key) {
  return crypto::sha256_hex(key.to_der()).substr(0, key_id_digits);
}

std::string to_text(const Signature& signature) { return signature.key_id + ":" + to_base64(signature.bytes); }

Result<Signature> parse_signature(std::string_view text) {
  const Error malformed(ErrorCode::invalid_argument, "the signature is not KEYID:BASE64");
  if (text.size() > signature_bytes_max) return malformed;
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || !is_key_id(text.substr(0, colon))) return malformed;
  auto bytes = from_base64(text.substr(colon + 1));
  if (!bytes || bytes->empty()) return malformed;
  return Signature{std::string(text.substr(0, colon)), std::move(*bytes)};
}

Result<std::string> RecordKey::sign(const SignedContent& content) const {
  auto bytes = key_.sign_digest(digest_of(content));
  if (!bytes) return bytes.error();
  return to_text({id_, std::move(*bytes)});
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::good:
      return "good";
    case Verdict::unsigned_record:
      return "unsigned";
    case Verdict::unknown_key:
      return "unknown_key";
    case Verdict::wrong_role:
      return "wrong_role";
    case Verdict::bad_signature:
      return "bad_signature";
  }
  return "bad_signature";
}

RecordMark mark_of(const SignedContent& content, std::string_view signature) {
  const crypto::Sha256Digest digest = digest_of(content);
  crypto::Sha256 sum;
  add(sum, mark_domain);
  sum.update(ByteView(digest));
  add(sum, signature);
  const crypto::Sha256Digest whole = sum.finish();
  RecordMark mark;
  std::copy_n(whole.begin(), mark.size(), mark.begin());
  return mark;
}

std::size_t RecordMarkHash::operator()(const RecordMark& mark) const {
  std::size_t out = 0;
  std::memcpy(&out, mark.data(), sizeof out);
  return out;
}

Result<Signers> Signers::from_json(const json::Value& value) {
  json::Reader r(value, "signers");
  r.integer("format", format, format);
  const json::Value* list = r.required("signers");
  r.refuse_unknown();
  if (list != nullptr && (!list->is_array() || list->size() > signers_max))
    r.problem("signers", fmt::format("is not a list of at most {} keys", signers_max));
  if (const Status s = r.finish(); !s) return s.error();
  Signers out;
  for (std::size_t i = 0; i < list->size(); ++i) {
    auto signer = signer_from_json((*list)[i], fmt::format("signers[{}]", i));
    if (!signer) return signer.error();
    if (out.find(signer->id) != nullptr)
      return Error(ErrorCode::invalid_argument, fmt::format("signers[{}] has the key of one before it", i));
    out.all_.push_back(std::move(*signer));
  }
  return out;
}

json::Value Signers::to_json() const {
  json::Value list = json::Value::array();
  for (const Signer& s : all_)
    list.push_back({{"id", s.id}, {"role", s.role}, {"topics", s.topics}, {"publicKey", s.key.to_pem()}});
  return {{"format", format}, {"signers", std::move(list)}};
}

Status Signers::add(std::string_view role, const crypto::PublicKey& key) {
  const std::string id = key_id_of(key);
  if (find(id) != nullptr) return {};
  if (all_.size() >= signers_max)
    return Error(ErrorCode::resource_exhausted, fmt::format("there are {} signing keys already", signers_max));
  all_.push_back({id, std::string(role), topics_of_role(role), key});
  return {};
}

const Signer* Signers::find(std::string_view id) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [id](const Signer& s) { return s.id == id; });
  return found == all_.end() ? nullptr : &*found;
}

Verdict Signers::check(const SignedContent& content, std::optional<std::string_view> signature,
                       const RecordMarks* known) const {
  if (!signature) return Verdict::unsigned_record;
  const auto parsed = parse_signature(*signature);
  if (!parsed) return Verdict::bad_signature;
  const Signer* signer = find(parsed->key_id);
  if (signer == nullptr) return Verdict::unknown_key;
  if (!has(signer->topics, content.topic)) return Verdict::wrong_role;
  if (known != nullptr && known->contains(mark_of(content, *signature))) return Verdict::good;
  return signer->key.verify_digest(digest_of(content), parsed->bytes) ? Verdict::good : Verdict::bad_signature;
}

}  // namespace fleetward::access
