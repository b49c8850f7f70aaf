#include "bench/detect/reports.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

namespace fleetward::bench {

std::string_view static_behaviors() {
  return R"([
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
}

std::vector<fleet::CustomMetric> custom_metrics() {
  return {{"cpu", fleet::CustomMetricType::number, ""}, {"memory", fleet::CustomMetricType::number, ""}};
}

std::string device_name(std::size_t index) { return fmt::format("device-{:08}", index); }

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

namespace {

struct Change {
  std::string_view what;
  std::string_view becomes;
};

void apply(const Change& change, std::string& report) {
  const std::size_t at = report.find(change.what);
  if (at == std::string::npos) std::abort();
  report.replace(at, change.what.size(), change.becomes);
}

}  // namespace

std::vector<std::string> make_breaking_reports(std::mt19937& random) {
  constexpr std::array changes = {
      Change{R"("port":554)", R"("port":4711)"},
      Change{R"("port":554)", R"("port":23)"},
      Change{R"("port":5353)", R"("port":161)"},
      Change{R"("total":5})", R"("total":20})"},
      Change{R"("total":3})", R"("total":20})"},
      Change{R"("total":10})", R"("total":200})"},
      Change{R"("connections":[)", R"("connections":[{"local_port":1,"remote_addr":"203.0.113.7:443"},)"},
      Change{R"("bytes_out":)", R"("bytes_out":900000000000)"},
      Change{R"("bytes_in":)", R"("bytes_in":900000000000)"},
      Change{R"("packets_out":)", R"("packets_out":900000000000)"},
      Change{R"("packets_in":)", R"("packets_in":900000000000)"},
      Change{R"("memory":[{"number":)", R"("memory":[{"number":-)"},
      Change{R"("memory":[{"number":)", R"("memory":[{"number":100)"},
  };
  // Two in three are hot as well, so that three in a row are seen.
  constexpr Change hot{R"("cpu":[{"number":)", R"("cpu":[{"number":9)"};
  std::vector<std::string> out = make_reports(random);
  for (std::size_t i = 0; i < out.size(); ++i) {
    apply(changes[i % changes.size()], out[i]);
    if (i % 3 != 0) apply(hot, out[i]);
  }
  return out;
}

}  // namespace fleetward::bench
