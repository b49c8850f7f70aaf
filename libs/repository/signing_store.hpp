// A store whose transactions sign what they say on topics access and certificates, with the keys of this process's
// roles: a record is signed where it is decided, and the relay, wherever it runs, publishes what it could not have
// made.
//
// A process that holds no key for a topic cannot decide there: its transaction fails (failed_precondition). Threads and
// limits are those of the store behind it; signing costs some 30 microseconds of its thread a record.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "access/record_signature.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

struct RoleKey {
  std::string role;
  access::RecordKey key;
};

// Signs each topic with the key of the first role that may.
class RecordSigner final : public store::Signer {
 public:
  explicit RecordSigner(std::vector<RoleKey> keys);
  Result<std::string> sign(std::string_view topic, std::string_view key, std::string_view version,
                           std::string_view value) const override;

 private:
  std::map<std::string, access::RecordKey, std::less<>> by_topic_;
};

std::unique_ptr<store::Store> sign_in(std::unique_ptr<store::Store> store, std::shared_ptr<const store::Signer> signer);

// Signs again, at its version, what was said under a key that `signers` does not list (any more), or under none: a page
// of keys after `after` of one topic. What is not signed yet is so after an upgrade; what is by an old key after that
// was taken out. The last key that was looked at; empty: that was all.
Result<std::string> sign_again(store::Transaction& tx, const access::Signers& signers, const std::string& topic,
                               const std::string& after, std::int64_t rows_max);

}  // namespace fleetward::repository
