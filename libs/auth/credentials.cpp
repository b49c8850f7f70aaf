#include "auth/credentials.hpp"

namespace fleetward::auth {

std::string_view to_string(Right right) {
  switch (right) {
    case Right::read:
      return "read";
    case Right::write:
      return "write";
    case Right::operate:
      return "operate";
    case Right::approve:
      return "approve";
  }
  return "read";
}

bool Principal::may(Right right) const { return std::find(rights.begin(), rights.end(), right) != rights.end(); }

void Credentials::add_token(std::string_view token, Principal principal) {
  tokens_.push_back({crypto::sha256(token), std::move(principal)});
}
void Credentials::add_access_key(AccessKey key, Principal principal) {
  keys_.push_back({std::move(key), std::move(principal)});
}

const Principal* Credentials::by_token(std::string_view token) const {
  const crypto::Sha256Digest asked = crypto::sha256(token);
  const Principal* found = nullptr;
  for (const Token& t : tokens_) {  // all of them, so that time tells nothing
    if (crypto::equal_constant_time(ByteView(asked), ByteView(t.digest))) found = &t.principal;
  }
  return found;
}

const Credentials::KeyHolder* Credentials::by_access_key(std::string_view id) const {
  const KeyHolder* found = nullptr;
  for (const KeyHolder& k : keys_) {
    if (crypto::equal_constant_time(id, std::string_view(k.key.id))) found = &k;
  }
  return found;
}

Principal administrator() { return {"admin", {Right::read, Right::write, Right::operate, Right::approve}}; }

std::string new_token(crypto::Random& random) { return "fw_" + random.token(32); }

AccessKey new_access_key(crypto::Random& random) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  AccessKey key{"AKIA", {}};
  for (int i = 0; i < 16; ++i) key.id += alphabet[random.below(alphabet.size())];
  key.secret = random.token(30);
  return key;
}

std::string to_json_text(const AccessKey& key) {
  return json::dump_pretty({{"access_key_id", key.id}, {"secret_access_key", key.secret}}) + "\n";
}

Result<AccessKey> access_key_from_json(std::string_view text) {
  const auto value = json::parse(text);
  if (!value) return Error(value.error().code, "the access key file is not JSON");
  json::Reader r(*value, "access key");
  AccessKey key{r.text("access_key_id", 16, 128), r.text("secret_access_key", 16, 128)};
  if (!r.finish())
    return Error(ErrorCode::invalid_argument, "the access key file lacks access_key_id or secret_access_key");
  return key;
}

}  // namespace fleetward::auth
