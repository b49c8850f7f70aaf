// Who may do what: principals with rights, known by a bearer token or an AWS access key. Pure; immutable once made.
//
// Tokens are held as SHA-256 and compared in constant time. Secret access keys are held as they are: SigV4 needs them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crypto/digest.hpp"
#include "crypto/random.hpp"
#include "json/json.hpp"

namespace fleetward::auth {

enum class Right {
  read,
  write,    // registry, profiles, metrics, certificates
  operate,  // quarantine, release, refuse
  approve,  // let an action begin that needs it, revoke
};
std::string_view to_string(Right right);

struct Principal {
  std::string name;
  std::vector<Right> rights;
  [[nodiscard]] bool may(Right right) const;
};

struct AccessKey {
  std::string id;
  std::string secret;
};

class Credentials {
 public:
  void add_token(std::string_view token, Principal principal);
  void add_access_key(AccessKey key, Principal principal);

  [[nodiscard]] const Principal* by_token(std::string_view token) const;
  struct KeyHolder {
    AccessKey key;
    Principal principal;
  };
  [[nodiscard]] const KeyHolder* by_access_key(std::string_view id) const;

 private:
  struct Token {
    crypto::Sha256Digest digest;
    Principal principal;
  };
  std::vector<Token> tokens_;
  std::vector<KeyHolder> keys_;
};

Principal administrator();
std::string new_token(crypto::Random& random);
// In AWS's shape: AKIA and 16 characters; a secret of 40.
AccessKey new_access_key(crypto::Random& random);
// {"access_key_id": …, "secret_access_key": …}
std::string to_json_text(const AccessKey& key);
Result<AccessKey> access_key_from_json(std::string_view text);

}  // namespace fleetward::auth
