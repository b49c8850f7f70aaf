#include "simulation/fleet_setup.hpp"

#include <filesystem>

#include "bus/record.hpp"
#include "crypto/key.hpp"
#include "pki/certificate.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/dimension_repository.hpp"
#include "repository/migrations.hpp"
#include "repository/profile_repository.hpp"
#include "repository/registry_repository.hpp"
#include "services/pki/authority_files.hpp"

namespace fleetward::simulation {
namespace {

template <class T>
T must(Result<T> result, std::string_view what) {
  if (result.ok()) return std::move(*result);
  fmt::print(stderr, "{}: {}\n", what, result.error().message);
  std::abort();
}
void must(const Status& status, std::string_view what) {
  if (status.ok()) return;
  fmt::print(stderr, "{}: {}\n", what, status.error().message);
  std::abort();
}

struct DeviceKey {
  std::string private_pem, public_pem;
};
const DeviceKey& device_key() {
  static const DeviceKey key = [] {
    const auto made = must(crypto::PrivateKey::generate(), "a device's key");
    return DeviceKey{made.to_pem(), made.public_key().to_pem()};
  }();
  return key;
}

// Partitions into which what is keyed by a certificate may go, for every count that worlds have.
constexpr std::int32_t partition_counts_multiple = 12;

// Signatures are of chance, and so is a certificate's fingerprint: but not the partition that it leads to.
std::int32_t place_of(const std::string& key) { return bus::partition_of(key, partition_counts_multiple); }

std::string issue_once(const std::string& thing) {
  static crypto::SystemRandom random;
  static const pki::Issuer issuer{
      must(crypto::PrivateKey::from_pem(
               must(pki_role::read_authority_file(authority().folder, "issuing.key", true), "issuing.key")),
           "issuing.key"),
      authority().issuing_pem};
  pki::LeafRequest request;
  request.common_name = thing;
  request.uris = {pki::thing_uri(thing)};
  request.lifetime = std::chrono::hours(24 * 30);
  const auto key = must(crypto::PublicKey::from_pem(device_key().public_pem), "a device's key");
  return must(pki::issue(issuer, key, request, world_start, random), "a device's certificate");
}

const std::string& issue_device(const std::string& thing) {
  static std::map<std::string, std::string> issued;
  std::string& pem = issued[thing];
  while (pem.empty() || place_of(must(pki::read_certificate(pem), "a certificate").fingerprint) != place_of(thing))
    pem = issue_once(thing);
  return pem;
}

Status enrol(store::Transaction& tx, const std::string& thing, const std::string& id, const std::string& pem) {
  repository::SigningRequest request;
  request.id = "enrol-" + thing;
  request.thing = thing;
  request.thing_id = id;
  request.public_key_pem = device_key().public_pem;
  if (const Status asked = repository::ask_for_certificate(tx, request, world_start); !asked) return asked;
  return repository::finish_signing(tx, request, pem, authority().issuing_id, world_start);
}

// Topics that only reports go to, each device's its own: what gateways count apart, through every crash.
fleet::Dimension reports_dimension() { return {"reports", 1, {"$aws/things/${iot:ClientId}/defender/#"}}; }

// Never violated: its sums are in the checkpoints that are held against the log.
json::Value quiet_sum(std::string_view side) {
  return {
      {"name", fmt::format("messages-{}", side)},
      {"metric", "aws:num-messages-sent"},
      {"metricDimension", {{"dimensionName", "reports"}, {"operator", side}}},
      {"criteria", {{"comparisonOperator", "less-than"}, {"value", {{"count", 1'000'000}}}, {"durationSeconds", 300}}}};
}

fleet::SecurityProfile profile() {
  const json::Value ports = {{"name", "ports"},
                             {"metric", "aws:listening-tcp-ports"},
                             {"criteria", {{"comparisonOperator", "in-port-set"}, {"value", {{"ports", {22}}}}}}};
  const json::Value value = {{"securityProfileName", "cameras"},
                             {"version", 1},
                             {"behaviors", json::Value::array({ports, quiet_sum("IN"), quiet_sum("NOT_IN")})}};
  return must(fleet::profile_from_json(value, "profile"), "the profile");
}

}  // namespace

ScratchFolder::ScratchFolder() {
  const bool in_memory = std::filesystem::is_directory("/dev/shm");
  std::string path = (in_memory ? "/dev/shm" : std::filesystem::temp_directory_path().string()) + "/fw-sim-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) std::abort();
  path_ = path;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

const Authority& authority() {
  static const ScratchFolder folder;
  static const Authority made = [] {
    crypto::SystemRandom random;
    must(pki_role::bootstrap_authority(folder.path(), {"10.0.0.1", "10.0.0.2"}, world_start, random), "the authority");
    const auto file = [](std::string_view name, bool secret) {
      return must(pki_role::read_authority_file(folder.path(), name, secret), name);
    };
    Authority a{
        folder.path(),           file("root.crt", false), file("issuing.crt", false), "", file("server.crt", false),
        file("server.key", true)};
    a.issuing_id = must(pki::read_certificate(a.issuing_pem), "issuing.crt").fingerprint;
    return a;
  }();
  return made;
}

FleetSetup set_up_fleet(SharedStore& store, std::int64_t count) {
  FleetSetup out;
  Choice& choice = store.universe().choice();
  const bool two_groups = choice.one_in(2);
  must(store.direct().migrate(repository::all_migrations()), "the schema");
  std::vector<std::pair<std::string, std::string>> made;  // thing and certificate
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string thing = fmt::format("cam-{}", i);
    const std::string pem = issue_device(thing);
    made.emplace_back(thing, pem);
    out.things[must(pki::read_certificate(pem), "a certificate").fingerprint] = thing;
    net::TlsClientConfig tls{authority().root_pem, pem, device_key().private_pem, "10.0.0.1", {}};
    out.members.push_back({thing, must(net::TlsContext::for_client(tls), "a device's TLS")});
    ++out.group_sizes[two_groups && i % 2 == 1 ? "site-2" : "site-1"];
  }
  must(store.now([&](store::Transaction& tx) -> Status {
    for (const auto& [group, size] : out.group_sizes) {
      const auto row = repository::create_group(tx, group, "id-" + group, "", "", world_start);
      if (!row) return row.error();
    }
    for (std::size_t i = 0; i < made.size(); ++i) {
      const auto& [thing, pem] = made[i];
      const auto row = repository::create_thing(tx, thing, "id-" + thing, "camera", {}, world_start);
      if (!row) return row.error();
      const std::string group = two_groups && i % 2 == 1 ? "site-2" : "site-1";
      if (const Status s = repository::add_to_group(tx, group, thing, world_start); !s) return s;
      if (const Status s = enrol(tx, thing, "id-" + thing, pem); !s) return s;
    }
    if (const auto made_dimension = repository::put_dimension(tx, reports_dimension(), world_start); !made_dimension)
      return made_dimension.error();
    const auto applied = repository::apply_profile(tx, profile(), {{fleet::Target::Kind::all_things, {}}}, world_start);
    return applied.ok() ? Status() : Status(applied.error());
  }),
       "the fleet");
  return out;
}

}  // namespace fleetward::simulation
