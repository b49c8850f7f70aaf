// Loads an MQTT server over mutual TLS, ours or another: ./dev bench gateway, connect and idle use it for both.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "client.hpp"

namespace fleetload {
namespace {

namespace fs = std::filesystem;
namespace net = fleetward::net;
namespace async = fleetward::async;
using fleetward::Error;
using fleetward::ErrorCode;
using fleetward::Result;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A report as an agent sends it: five TCP and three UDP ports, ten connections, traffic; about 1.2 KB.
std::string make_report(std::size_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  const auto below = [&random](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  std::string connections;
  for (int i = 0; i < 10; ++i) {
    connections +=
        fmt::format(R"({}{{"local_interface":"eth0","local_port":{},"remote_addr":"10.{}.{}.{}:{}"}})",
                    i == 0 ? "" : ",", 32'768 + below(28'000), below(256), below(256), below(256), 8'883 + below(9));
  }
  return fmt::format(
      R"({{"header":{{"report_id":{},"version":"1.0"}},"metrics":{{"listening_tcp_ports":{{"ports":[{{"interface":"eth0","port":22}},{{"interface":"eth0","port":80}},{{"interface":"eth0","port":443}},{{"interface":"eth0","port":554}},{{"interface":"eth0","port":8883}}],"total":5}},"listening_udp_ports":{{"ports":[{{"interface":"eth0","port":53}},{{"interface":"eth0","port":123}},{{"interface":"eth0","port":5353}}],"total":3}},"network_stats":{{"bytes_in":{},"bytes_out":{},"packets_in":{},"packets_out":{}}},"tcp_connections":{{"established_connections":{{"connections":[{}],"total":10}}}}}}}})",
      1'700'000'000 + seed, below(1 << 20), below(1 << 20), below(1 << 12), below(1 << 12), connections);
}

Result<std::vector<std::unique_ptr<Client>>> make_clients(async::Scheduler& scheduler, const Options& options,
                                                          Totals& totals) {
  std::vector<fs::path> folders;
  std::error_code problem;
  for (const auto& entry : fs::directory_iterator(options.devices_dir, problem)) {
    if (fs::exists(entry.path() / "cert.pem")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  if (folders.size() < options.connections) {
    return Error(ErrorCode::not_found, fmt::format("{}: holds {} devices, {} are asked for", options.devices_dir,
                                                   folders.size(), options.connections));
  }
  const std::string ca = read_text(options.ca_file);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < options.connections; ++i) {
    auto tls = net::TlsContext::for_client(
        {ca, read_text(folders[i] / "cert.pem"), read_text(folders[i] / "key.pem"), options.host, {}});
    if (!tls) return tls.error();
    clients.push_back(
        std::make_unique<Client>(scheduler, options, totals, folders[i].filename().string(), *tls, make_report(i)));
  }
  return clients;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// All of them connected, or the time is over.
bool wait_connected(async::Scheduler& loop, const Totals& totals, std::size_t wanted) {
  const auto start = std::chrono::steady_clock::now();
  bool all = false;
  while (!all && seconds_since(start) < 120) {
    usleep(20'000);
    async::run_on(loop, [&] { all = totals.connects >= static_cast<std::int64_t>(wanted); });
  }
  return all;
}

// Connects are spread a little: a backlog is no part of what is measured.
void start_all(async::Scheduler& loop, const std::vector<std::unique_ptr<Client>>& clients) {
  for (const auto& client : clients) {
    async::run_on(loop, [&] { client->start(); });
    usleep(500);
  }
}

void measure(async::Scheduler& loop, const Options& options, Totals& totals) {
  // The caller reads the server's CPU time between these two lines.
  std::cout << R"({"event":"measuring"})" << std::endl;
  const auto start = std::chrono::steady_clock::now();
  async::run_on(loop, [&] { totals.connects = totals.acknowledged = 0; });
  usleep(static_cast<useconds_t>(options.duration.count() * 1000));
  Totals end;
  async::run_on(loop, [&] {
    totals.counting = false;
    end = totals;
  });
  std::cout
      << fmt::format(
             R"({{"event":"measured","seconds":{:.3f},"acknowledged":{},"connects":{},"refused":{},"broken":{}}})",
             seconds_since(start), end.acknowledged, end.connects, end.refused, end.broken)
      << std::endl;
}

int run(const Options& options) {
  async::LoopThread loop("load");
  Totals totals;
  auto clients = make_clients(loop, options, totals);
  if (!clients) {
    std::cerr << "bench_load: " << clients.error().message << "\n";
    return 1;
  }
  start_all(loop, *clients);
  const bool ready = wait_connected(loop, totals, options.connections);
  if (!ready) std::cerr << "bench_load: not all of them could connect\n";
  else if (options.kind == Kind::idle) {
    std::cout << R"({"event":"connected"})" << std::endl;
    std::string line;
    while (std::getline(std::cin, line)) {
    }
  } else {
    measure(loop, options, totals);
  }
  async::run_on(loop, [&] {
    totals.stopping = true;
    clients->clear();
  });
  loop.stop();
  return ready ? 0 : 1;
}

}  // namespace
}  // namespace fleetload

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "--help") {
    std::cout << fleetload::help_text();
    return arguments.empty() ? 2 : 0;
  }
  const auto options = fleetload::parse_options(arguments);
  if (!options) {
    std::cerr << "bench_load: " << options.error().message << "\n" << fleetload::help_text();
    return 2;
  }
  return fleetload::run(*options);
}
