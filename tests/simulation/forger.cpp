#include "simulation/forger.hpp"

#include "fleet/access.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "repository/signing_store.hpp"

namespace fleetward::simulation {
namespace {

constexpr std::size_t remembered_max = 1'000;

const access::RecordKey& deciding_key() {
  static const access::RecordKey key(*crypto::PrivateKey::generate());
  return key;
}

const access::RecordKey& foreign_key() {
  static const access::RecordKey key(*crypto::PrivateKey::generate());
  return key;
}

std::string_view version_of(const bus::Record& record) {
  return bus::find_header(record.headers, fleet::header::version).value_or("");
}

bus::Headers headers(std::int64_t version, std::optional<std::string_view> signature) {
  bus::Headers out{{fleet::header::version, std::to_string(version)}};
  if (signature) out.push_back({fleet::header::signature, *signature});
  return out;
}

}  // namespace

std::shared_ptr<const store::Signer> deciding_signer() {
  static const auto signer =
      std::make_shared<const repository::RecordSigner>(std::vector<repository::RoleKey>{{"responder", deciding_key()}});
  return signer;
}

std::shared_ptr<const access::Signers> record_signers() {
  static const auto signers = [] {
    auto made = std::make_shared<access::Signers>();
    if (!made->add("responder", deciding_key().public_key())) std::abort();
    return std::shared_ptr<const access::Signers>(std::move(made));
  }();
  return signers;
}

bool is_signed(const bus::Record& record) {
  if (!record.value) return false;
  const access::SignedContent content{record.topic, record.key, version_of(record), *record.value};
  const auto signature = bus::find_header(record.headers, fleet::header::signature);
  return record_signers()->check(content, signature) == access::Verdict::good;
}

void Forger::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (access::is_signed_topic(r.topic) && seen_.size() < remembered_max && is_signed(r)) seen_.push_back(r);
  }
}

const bus::Record& Forger::some(const std::vector<bus::Record>& records) {
  return records[static_cast<std::size_t>(universe_.choice().below(static_cast<std::int64_t>(records.size())))];
}

// The opposite of what it says, at another version.
std::string Forger::changed(const bus::Record& record, std::int64_t version) {
  auto event = fleet::parse_cloud_event(*record.value);
  if (!event) std::abort();  // it is a true one
  event->data["version"] = version;
  if (record.topic == fleet::topic::access) {
    json::Value hold = {{"actionId", "forged"}, {"level", "isolate"}, {"reason", "x"},
                        {"actor", "x"},         {"since", 0},         {"leaseEnd", 0}};
    event->data["holds"] = event->data["holds"].empty() ? json::Value::array({hold}) : json::Value::array();
  } else if (event->data.contains("status")) {
    event->data["status"] = event->data["status"] == "ACTIVE" ? "REVOKED" : "ACTIVE";
  }
  return to_json_text(*event);
}

std::optional<bus::OutRecord> Forger::next() {
  if (seen_.empty()) return std::nullopt;
  Choice& choice = universe_.choice();
  const bus::Record like = some(seen_);
  const std::int64_t version = std::atoll(std::string(version_of(like)).c_str()) + choice.between(0, 5);
  const auto signature = bus::find_header(like.headers, fleet::header::signature);
  ++forged_;
  universe_.note("forged: " + like.topic);  // not of which key: certificates have others in each run
  switch (choice.below(6)) {
    case 0:  // what was true once
      return bus::OutRecord{like.topic, like.key, like.value, like.headers, std::nullopt};
    case 1:  // gone
      return bus::OutRecord{like.topic, like.key, std::nullopt, {}, std::nullopt};
    case 2:  // another's
      return bus::OutRecord{like.topic, some(seen_).key, like.value, like.headers, std::nullopt};
    case 3: {  // with a key of its own
      const std::string value = changed(like, version);
      const auto own = foreign_key().sign({like.topic, like.key, std::to_string(version), value});
      if (!own) std::abort();
      return bus::OutRecord{like.topic, like.key, value, headers(version, *own), std::nullopt};
    }
    case 4:  // under a true record's signature
      return bus::OutRecord{like.topic, like.key, changed(like, version), headers(version, signature), std::nullopt};
    default:
      return bus::OutRecord{like.topic, like.key, changed(like, version), headers(version, std::nullopt), std::nullopt};
  }
}

}  // namespace fleetward::simulation
