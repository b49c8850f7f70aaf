#include "services/fleetward/signing_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "json/json.hpp"
#include "services/fleetward/files.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t signed_again_max = 1'000;  // in one transaction

Result<access::RecordKey> read_key(const std::string& path) {
  const auto pem = read_secret_file(path);
  if (!pem) return pem.error();
  auto key = crypto::PrivateKey::from_pem(*pem);
  if (!key) return key.error().with_context(path);
  return access::RecordKey(std::move(*key));
}

Result<access::RecordKey> make_key(const std::string& path) {
  if (file_exists(path)) return read_key(path);
  auto key = crypto::PrivateKey::generate();
  if (!key) return key.error();
  if (const Status written = write_file(path, key->to_pem(), Secrecy::secret); !written) return written.error();
  return access::RecordKey(std::move(*key));
}

Result<access::Signers> parse_signers(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return text.error();
  const auto value = json::parse(*text);
  if (!value) return value.error().with_context(path);
  auto signers = access::Signers::from_json(*value);
  if (!signers) return signers.error().with_context(path);
  return signers;
}

std::set<std::string> topics_of(const std::string& role) {
  const std::vector<std::string> topics = access::topics_of_role(role);
  return {topics.begin(), topics.end()};
}

Error not_there(const Error& error) {
  return {ErrorCode::failed_precondition,
          error.message + " (`fleetward init` with the same settings makes the keys that records are signed with)"};
}

}  // namespace

std::string signing_folder(const std::string& data_dir) { return data_dir + "/signing"; }
std::string signers_path(const std::string& data_dir) { return signing_folder(data_dir) + "/signers.json"; }
std::string signing_key_path(const std::string& data_dir, std::string_view role) {
  return fmt::format("{}/{}.key", signing_folder(data_dir), role);
}

Status make_signing_keys(const std::string& data_dir) {
  if (const Status made = make_folder(signing_folder(data_dir)); !made) return made;
  const std::string path = signers_path(data_dir);
  access::Signers signers;
  if (file_exists(path)) {
    auto there = parse_signers(path);
    if (!there) return there.error();
    signers = std::move(*there);
  }
  const std::size_t before = signers.all().size();
  for (const std::string_view role : access::signing_roles) {
    const auto key = make_key(signing_key_path(data_dir, role));
    if (!key) return key.error();
    if (const Status added = signers.add(role, key->public_key()); !added) return added;
  }
  if (signers.all().size() == before) return {};
  return write_file(path, json::dump_pretty(signers.to_json()) + "\n", Secrecy::open);
}

Result<SharedSigners> read_signers(const std::string& data_dir) {
  auto signers = parse_signers(signers_path(data_dir));
  if (!signers) return not_there(signers.error());
  return std::make_shared<const access::Signers>(std::move(*signers));
}

Result<std::shared_ptr<const store::Signer>> read_signer(const std::string& data_dir,
                                                         const std::vector<std::string>& roles) {
  const auto signers = read_signers(data_dir);
  if (!signers) return signers.error();
  std::vector<repository::RoleKey> keys;
  for (const std::string_view role : access::signing_roles) {
    if (std::find(roles.begin(), roles.end(), role) == roles.end()) continue;
    const std::string path = signing_key_path(data_dir, role);
    auto key = read_key(path);
    if (!key) return not_there(key.error());
    if ((*signers)->find(key->id()) == nullptr)
      return not_there({ErrorCode::failed_precondition, path + " is not listed in signers.json"});
    keys.push_back({std::string(role), std::move(*key)});
  }
  return std::shared_ptr<const store::Signer>(std::make_shared<const repository::RecordSigner>(std::move(keys)));
}

Status sign_what_is_not(store::Store& store, const access::Signers& signers, const std::vector<std::string>& roles) {
  std::set<std::string> topics;
  for (const std::string& role : roles) topics.merge(topics_of(role));
  for (const std::string& topic : topics) {
    std::string after;
    do {
      auto last = store::run_and_wait<std::string>(store, [&](store::Transaction& tx) {
        return repository::sign_again(tx, signers, topic, after, signed_again_max);
      });
      if (!last) return last.error().with_context("sign records");
      after = std::move(*last);
    } while (!after.empty());
  }
  return {};
}

}  // namespace fleetward::program
