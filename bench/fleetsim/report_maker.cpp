#include "report_maker.hpp"

#include <fmt/format.h>

#include <vector>

#include "crypto/digest.hpp"
#include "crypto/random.hpp"

namespace fleetsim {

using fleetward::crypto::SeededRandom;
using fleetward::json::Value;

namespace {

// What the device does between two reports, before it is put into words.
struct Activity {
  std::vector<int> tcp_ports;
  std::vector<int> udp_ports;
  std::vector<std::string> remotes;  // address:port
  std::int64_t established = 0;
  std::int64_t bytes_in = 0;
  std::int64_t bytes_out = 0;
  std::int64_t packets_in = 0;
  std::int64_t packets_out = 0;
  double cpu_usage = 0;
};

std::uint64_t seed_of(std::uint64_t seed, std::string_view thing, std::int64_t report_id) {
  const auto digest = fleetward::crypto::sha256(fmt::format("{}/{}/{}", seed, thing, report_id));
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest[static_cast<std::size_t>(i)];
  return value;
}

std::int64_t between(SeededRandom& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(high - low + 1)));
}

// A camera: it talks to its cloud and to its recorder, both in the operator's own networks (documentation addresses).
Activity normal_activity(SeededRandom& random) {
  Activity a;
  a.tcp_ports = {22, 554};
  a.udp_ports = {5353};
  a.remotes = {fmt::format("198.51.100.{}:8883", between(random, 10, 13)),
               fmt::format("10.20.0.{}:554", between(random, 2, 9))};
  if (between(random, 0, 9) == 0) a.remotes.push_back("198.51.100.40:443");  // looks for an update
  a.established = static_cast<std::int64_t>(a.remotes.size());
  a.packets_out = between(random, 8, 24);
  a.packets_in = between(random, 6, 18);
  a.bytes_out = a.packets_out * between(random, 60, 120);
  a.bytes_in = a.packets_in * between(random, 60, 120);
  a.cpu_usage = static_cast<double>(between(random, 40, 180)) / 10;
  return a;
}

std::string scanned_address(SeededRandom& random) {
  // Anywhere public but for multicast, private and loopback space.
  const std::int64_t first = between(random, 20, 99);
  const std::int64_t port = between(random, 0, 9) == 0 ? 2323 : 23;
  return fmt::format("{}.{}.{}.{}:{}", first, between(random, 0, 255), between(random, 0, 255), between(random, 1, 254),
                     port);
}

void infect(Activity& a, SeededRandom& random) {
  constexpr int listed_max = 40;  // agents sample long lists; the total stays true
  a.tcp_ports.push_back(48101);
  for (int i = 0; i < listed_max; ++i) a.remotes.push_back(scanned_address(random));
  a.established += between(random, 120, 400);
  const std::int64_t packets = between(random, 20'000, 60'000);
  a.packets_out += packets;
  a.bytes_out += packets * between(random, 300, 600);
  a.packets_in += packets / 20;
  a.bytes_in += packets * 3;
  a.cpu_usage = static_cast<double>(between(random, 900, 1000)) / 10;
}

// The key of a field in the agent's way of writing.
struct Keys {
  bool short_blocks = false;
  bool short_fields = false;
  [[nodiscard]] const char* block(const char* long_name, const char* short_name) const {
    return short_blocks ? short_name : long_name;
  }
  [[nodiscard]] const char* field(const char* long_name, const char* short_name) const {
    return short_fields ? short_name : long_name;
  }
};

Value ports_block(const Keys& keys, const std::vector<int>& ports) {
  Value list = Value::array();
  for (const int port : ports) {
    Value entry = Value::object();
    entry[keys.field("port", "pt")] = port;
    entry[keys.field("interface", "if")] = "eth0";
    list.push_back(std::move(entry));
  }
  Value block = Value::object();
  block[keys.block("ports", "pts")] = std::move(list);
  block[keys.block("total", "t")] = ports.size();
  return block;
}

Value connections_block(const Keys& keys, const Activity& a) {
  Value list = Value::array();
  int local_port = 40'000;
  for (const std::string& remote : a.remotes) {
    Value entry = Value::object();
    entry[keys.field("remote_addr", "rad")] = remote;
    entry[keys.field("local_port", "lp")] = local_port++;
    entry[keys.field("local_interface", "li")] = "eth0";
    list.push_back(std::move(entry));
  }
  Value established = Value::object();
  established[keys.block("connections", "cs")] = std::move(list);
  established[keys.block("total", "t")] = a.established;
  Value block = Value::object();
  block[keys.block("established_connections", "ec")] = std::move(established);
  return block;
}

Value stats_block(const Keys& keys, const Activity& a) {
  Value block = Value::object();
  block[keys.field("bytes_in", "bi")] = a.bytes_in;
  block[keys.field("bytes_out", "bo")] = a.bytes_out;
  block[keys.field("packets_in", "pi")] = a.packets_in;
  block[keys.field("packets_out", "po")] = a.packets_out;
  return block;
}

}  // namespace

ReportMaker::ReportMaker(const ReportOptions& options, std::string thing, std::size_t index)
    : options_(options), thing_(std::move(thing)), names_(static_cast<Names>(index % 3)) {}

std::string ReportMaker::make(std::int64_t report_id, bool infected) const {
  SeededRandom random(seed_of(options_.seed, thing_, report_id));
  Activity activity = normal_activity(random);
  if (infected) infect(activity, random);

  const Keys keys{names_ != Names::long_names, names_ == Names::short_names};
  Value header = Value::object();
  header[keys.block("report_id", "rid")] = report_id;
  header[keys.block("version", "v")] = "1.0";
  Value metrics = Value::object();
  metrics[keys.block("listening_tcp_ports", "tp")] = ports_block(keys, activity.tcp_ports);
  metrics[keys.block("listening_udp_ports", "up")] = ports_block(keys, activity.udp_ports);
  metrics[keys.block("network_stats", "ns")] = stats_block(keys, activity);
  metrics[keys.block("tcp_connections", "tc")] = connections_block(keys, activity);
  Value report = Value::object();
  report[keys.block("header", "hed")] = std::move(header);
  report[keys.block("metrics", "met")] = std::move(metrics);
  if (!options_.custom_metric.empty()) {
    Value value = Value::object();
    value["number"] = activity.cpu_usage;
    Value list = Value::array();
    list.push_back(std::move(value));
    report[keys.block("custom_metrics", "cmet")][options_.custom_metric] = std::move(list);
  }
  return fleetward::json::dump(report);
}

}  // namespace fleetsim
