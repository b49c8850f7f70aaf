// How fast one core detects: reports of 1.2 KB parsed and judged by 20 static behaviors, over many devices, beside a
// bare loop that only parses, finds the device's state and compares 20 numbers.
//
// Prints JSON: nanoseconds a report by thread CPU time, median of the rounds, and the ratio of bare loop to engine.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <charconv>
#include <cstring>
#include <random>

#include "detect/test_world.hpp"

namespace fleetward {
namespace {

using detect::testing::World;

struct Options {
  std::size_t devices = 1'000'000;
  std::size_t reports = 400'000;  // a round
  int rounds = 5;
};

constexpr std::string_view behaviors = R"([
 {"name":"b1","metric":"aws:listening-tcp-ports","criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22,80,443,554,8080,8883]}}},
 {"name":"b2","metric":"aws:listening-tcp-ports","criteria":{"comparisonOperator":"not-in-port-set","value":{"ports":[23,2323,48101]}}},
 {"name":"b3","metric":"aws:listening-udp-ports","criteria":{"comparisonOperator":"in-port-set","value":{"ports":[53,123,5353]}}},
 {"name":"b4","metric":"aws:num-listening-tcp-ports","criteria":{"comparisonOperator":"less-than","value":{"count":20}}},
 {"name":"b5","metric":"aws:num-listening-udp-ports","criteria":{"comparisonOperator":"less-than","value":{"count":20}}},
 {"name":"b6","metric":"aws:num-established-tcp-connections","criteria":{"comparisonOperator":"less-than","value":{"count":200}}},
 {"name":"b7","metric":"aws:destination-ip-addresses","criteria":{"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8","198.51.100.0/24","192.0.2.0/24"]}}},
 {"name":"b8","metric":"aws:destination-ip-addresses","criteria":{"comparisonOperator":"not-in-cidr-set","value":{"cidrs":["203.0.113.0/24"]}}},
 {"name":"b9","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":300}},
 {"name":"b10","metric":"aws:all-bytes-in","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":300}},
 {"name":"b11","metric":"aws:all-packets-out","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":300}},
 {"name":"b12","metric":"aws:all-packets-in","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":300}},
 {"name":"b13","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":900}},
 {"name":"b14","metric":"aws:all-bytes-in","criteria":{"comparisonOperator":"less-than","value":{"count":900000000000},"durationSeconds":900}},
 {"name":"b15","metric":"cpu","criteria":{"comparisonOperator":"less-than","value":{"number":99}}},
 {"name":"b16","metric":"cpu","criteria":{"comparisonOperator":"less-than","value":{"number":98},"consecutiveDatapointsToAlarm":3}},
 {"name":"b17","metric":"memory","criteria":{"comparisonOperator":"less-than","value":{"number":99}}},
 {"name":"b18","metric":"memory","criteria":{"comparisonOperator":"greater-than","value":{"number":0}}},
 {"name":"b19","metric":"aws:num-established-tcp-connections","criteria":{"comparisonOperator":"greater-than-equals","value":{"count":0}}},
 {"name":"b20","metric":"aws:num-listening-tcp-ports","criteria":{"comparisonOperator":"greater-than-equals","value":{"count":0}}}])";

std::vector<std::string> make_reports(std::mt19937& random) {
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  std::vector<std::string> out;
  for (int i = 0; i < 4096; ++i) {
    std::string tcp, udp, connections;
    constexpr std::array<int, 5> tcp_ports = {22, 80, 443, 554, 8883};
    constexpr std::array<int, 3> udp_ports = {53, 123, 5353};
    for (const int port : tcp_ports)
      tcp += fmt::format(R"({}{{"interface":"eth0","port":{}}})", tcp.empty() ? "" : ",", port);
    for (const int port : udp_ports)
      udp += fmt::format(R"({}{{"interface":"eth0","port":{}}})", udp.empty() ? "" : ",", port);
    for (int c = 0; c < 10; ++c) {
      connections += fmt::format(R"({}{{"local_port":{},"remote_addr":"10.{}.{}.{}:{}"}})", c == 0 ? "" : ",",
                                 32768 + below(28000), below(256), below(256), below(256), 1024 + below(60000));
    }
    out.push_back(fmt::format(
        R"({{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{}],"total":5}},"listening_udp_ports":{{"ports":[{}],"total":3}},"network_stats":{{"bytes_in":{},"bytes_out":{},"packets_in":{},"packets_out":{}}},"tcp_connections":{{"established_connections":{{"connections":[{}],"total":10}}}}}},"custom_metrics":{{"cpu":[{{"number":{}.5}}],"memory":[{{"number":{}.25}}]}}}})",
        1700000000 + i, tcp, udp, below(1 << 20), below(1 << 20), below(1 << 12), below(1 << 12), connections,
        below(90), 1 + below(90)));
  }
  return out;
}

double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

struct Numbers {
  std::vector<double> parse, bare, engine;
};
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct BareState {
  std::array<float, 96> words{};  // 384 bytes
};

class Bench {
 public:
  explicit Bench(const Options& options) : options_(options), random_(7), reports_(make_reports(random_)) {
    world_.custom_metric("cpu", fleet::CustomMetricType::number);
    world_.custom_metric("memory", fleet::CustomMetricType::number);
    world_.profile("bench", behaviors);
    names_.reserve(options.devices);
    for (std::size_t i = 0; i < options.devices; ++i) names_.push_back(fmt::format("device-{:08}", i));
    bare_states_.resize(options.devices);
    for (std::size_t i = 0; i < options.devices; ++i) bare_index_.emplace(names_[i], static_cast<std::uint32_t>(i));
    for (std::size_t i = 0; i < options.devices; ++i) apply(names_[i], i);
  }

  Numbers run() {
    Numbers out;
    for (int round = 0; round < options_.rounds; ++round) {
      out.parse.push_back(per_report([&](std::size_t i) { parse(i); }));
      out.bare.push_back(per_report([&](std::size_t i) { bare(i); }));
      out.engine.push_back(per_report([&](std::size_t i) { apply(names_[random_() % names_.size()], i); }));
    }
    return out;
  }
  [[nodiscard]] std::size_t violations() const { return out_.size(); }
  [[nodiscard]] std::size_t report_bytes() const {
    std::size_t bytes = 0;
    for (const std::string& report : reports_) bytes += report.size();
    return bytes / reports_.size();
  }
  [[nodiscard]] std::size_t state_bytes() { return world_.engine().state_bytes() / options_.devices; }

 private:
  template <class Body>
  double per_report(Body body) {
    const double start = thread_ns();
    for (std::size_t i = 0; i < options_.reports; ++i) body(i);
    return (thread_ns() - start) / static_cast<double>(options_.reports);
  }

  const report::Report& parse(std::size_t i) {
    const auto parsed = parser_.parse(as_bytes(reports_[i % reports_.size()]), customs_);
    if (!parsed) std::abort();
    return **parsed;
  }

  void bare(std::size_t i) {
    BareState& state = bare_states_[bare_index_.find(names_[random_() % names_.size()])->second];
    const report::Report& r = parse(i);
    const auto out = static_cast<float>(r.bytes_out.value_or(0));
    for (std::size_t b = 0; b < 20; ++b) {
      const float value = out + static_cast<float>(b);
      state.words[b] = state.words[b] * 0.9F + value * 0.1F;
      if (value > 1e12F) state.words[20 + b] += 1;
    }
  }

  void apply(const std::string& name, std::size_t i) {
    detect::InputRecord in;
    in.offset = ++offset_ + static_cast<std::int64_t>(world_.log().size());
    in.append_time = instant_from_ms(world_.now_ms());
    in.key = name;
    in.value = reports_[i % reports_.size()];
    in.kind = "report";
    in.packet_id = static_cast<std::uint16_t>(i);
    world_.engine().apply(in, out_);
  }

  Options options_;
  std::mt19937 random_;
  std::vector<std::string> reports_;
  World world_;
  report::ReportParser parser_;
  report::CustomMetricTable customs_{
      {{"cpu", fleet::CustomMetricType::number, ""}, {"memory", fleet::CustomMetricType::number, ""}}};
  std::vector<std::string> names_;
  std::vector<BareState> bare_states_;
  boost::unordered_flat_map<std::string_view, std::uint32_t> bare_index_;
  std::vector<fleet::ViolationEvent> out_;
  std::int64_t offset_ = 0;
};

template <class T>
bool read_option(std::string_view argument, std::string_view name, T& out) {
  if (!argument.starts_with(name)) return false;
  argument.remove_prefix(name.size());
  return std::from_chars(argument.data(), argument.data() + argument.size(), out).ec == std::errc();
}

int run(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (!read_option(argv[i], "--devices=", options.devices) && !read_option(argv[i], "--reports=", options.reports) &&
        !read_option(argv[i], "--rounds=", options.rounds)) {
      fmt::print(stderr, "usage: bench_detect [--devices=N] [--reports=N] [--rounds=N]\n");
      return 2;
    }
  }
  if (options.devices == 0 || options.reports == 0 || options.rounds <= 0) return 2;
  Bench bench(options);
  const Numbers numbers = bench.run();
  const double bare = median(numbers.bare);
  const double engine = median(numbers.engine);
  fmt::print(
      R"({{"devices":{},"reportBytes":{},"behaviors":20,"parseNs":{:.0f},"bareLoopNs":{:.0f},"engineNs":{:.0f},"reportsPerSecond":{:.0f},"ofBareLoop":{:.2f},"stateBytesPerDevice":{},"violations":{}}})"
      "\n",
      options.devices, bench.report_bytes(), median(numbers.parse), bare, engine, 1e9 / engine, bare / engine,
      bench.state_bytes(), bench.violations());
  return bench.violations() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace fleetward

int main(int argc, char** argv) { return fleetward::run(argc, argv); }
