// A profile's behaviors, from the API's JSON to violations: what validation lets through is evaluated over reports of
// all kinds, and the engine goes on from a checkpoint as if it had never stopped.
#include <exception>

#include "detect/test_world.hpp"
#include "detect/validate.hpp"
#include "fuzz/target.hpp"

namespace fleetward::fuzz {
namespace {

using detect::testing::World;

const std::vector<fleet::CustomMetric> customs = {{"cpu", fleet::CustomMetricType::number, ""},
                                                  {"cores", fleet::CustomMetricType::number_list, ""},
                                                  {"names", fleet::CustomMetricType::string_list, ""},
                                                  {"dns", fleet::CustomMetricType::ip_address_list, ""}};

std::string report_text(int n) {
  return fmt::format(
      R"({{"header":{{"report_id":1,"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{{"port":{}}}],"total":{}}},
      "listening_udp_ports":{{"ports":[],"total":0}},"network_stats":{{"bytes_in":{},"bytes_out":9,"packets_in":1,"packets_out":0}},
      "tcp_connections":{{"established_connections":{{"connections":[{{"remote_addr":"10.0.0.{}:443"}},{{"remote_addr":"[::1]:1"}}],"total":2}}}}}},
      "custom_metrics":{{"cpu":[{{"number":{}.5}}],"cores":[{{"number_list":[1,{}]}}],"names":[{{"string_list":["eth0"]}}],
      "dns":[{{"ip_list":["9.9.9.9","10.0.0.{}"]}}]}}}})",
      22 + n, n, 100 * n, n, n - 3, n, n);
}

void speak(World& world, int n) {
  world.add("report", "v1", report_text(n));
  fleet::CloudMetrics m;
  m.connected = n % 3 != 0;
  m.metrics["aws:num-messages-sent"] = {n, double(n), 1, 1};
  m.metrics["aws:message-byte-size"] = {1, 100.0 * n, 100.0 * n, 100.0 * n};
  m.metrics["aws:num-authorization-failures"] = {1, 1, 1, 1};
  m.source_addresses = {fmt::format("192.0.2.{}", n), "not an address"};
  // Of a version in force, of one that is not, and of a dimension that nobody knows.
  m.dimensions = {{{"bulk", 1 + n % 2}, n % 3 == 0, m.metrics, m.source_addresses},
                  {{"bulk", 1}, n % 2 == 0, m.metrics, {}},
                  {{"nothing", 1}, false, m.metrics, {}}};
  if (n % 4 == 1) world.counting({{"bulk", 1}, {"rest", 1}}, "g1", n / 8);
  world.cloud("v1", std::move(m));
}

// What compares with a group has something to compare with.
void compare(World& world) {
  std::vector<fleet::CohortMark::Snapshot> named;
  for (const std::string& cohort : world.engine().cohorts().names()) {
    fleet::CohortSnapshot snapshot;
    snapshot.cohort = cohort;
    snapshot.number = world.now_ms() / 300'000 - 1;
    snapshot.devices = 20;
    snapshot.panes = 2;
    for (auto& range : snapshot.statistics) range = {2, 2.5};
    world.hold(snapshot);
    named.push_back({cohort, snapshot.number});
  }
  if (!named.empty()) world.cohort_mark(named);
}

void check_restoring(World& world) {
  detect::PartitionEngine again(7, world.rules(), world.snapshots());
  for (const auto& change : world.engine().take_changes()) {
    expect(again.restore_device(change.key, change.value).ok(), "the device is restored");
  }
  expect(again.restore_partition(world.engine().partition_record()).ok(), "the partition is restored");
  const std::size_t read = world.log().size();
  const std::size_t told = world.out().size();
  for (int n = 8; n < 12; ++n) {
    world.at(n * 200);
    speak(world, n);
  }
  std::vector<fleet::ViolationEvent> out;
  for (std::size_t i = read; i < world.log().size(); ++i) again.apply(world.log()[i].view(), out);
  const std::vector<fleet::ViolationEvent> wanted(world.out().begin() + static_cast<std::ptrdiff_t>(told),
                                                  world.out().end());
  expect(out == wanted, "from a checkpoint on it gives the same");
  expect(again.partition_record() == world.engine().partition_record(), "and is in the same state");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  const std::string_view text = as_text({data, size});
  const auto behaviors = json::parse(text, {64 * 1024, 16});
  if (!behaviors) return 0;
  const auto profile =
      fleet::profile_from_json({{"securityProfileName", "p"}, {"version", 1}, {"behaviors", *behaviors}}, "profile");
  if (!profile) return 0;
  const auto again = fleet::profile_from_json(to_json(*profile), "profile");
  expect(again && *again == *profile, "a profile is written as it is read");
  // Not only what validation lets through: records of older versions may hold anything that can be read.
  static_cast<void>(detect::validate_behaviors(profile->behaviors, customs, {"bulk", "rest"}));
  World world;
  for (const auto& metric : customs) world.custom_metric(metric.name, metric.type);
  world.dimension("bulk", {"data/#"});
  world.dimension("rest", {"#"});
  world.profile("p", text);
  for (int n = 0; n < 8; ++n) {
    world.at(n * 200);
    if (n == 2) compare(world);
    speak(world, n);
  }
  for (const fleet::ViolationEvent& event : world.out()) {
    const auto read = fleet::violation_event_from_json(*json::parse(json::dump(to_json(event))));
    expect(read && *read == event, "a violation is written as it is read");
  }
  check_restoring(world);
  return 0;
}
