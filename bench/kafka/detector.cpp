// The detector alone in its process, over a Kafka: what is measured, killed and joined by others.
//
// usage: bench_detector BOOTSTRAP MEMBER. Prints a JSON line when it is ready, one for each line of its standard input,
// and one when it has stopped, which it does at the end of its input. Its log goes to standard error.
#include <fmt/format.h>
#include <sys/resource.h>

#include <iostream>
#include <thread>

#include "bus/kafka_bus.hpp"
#include "services/detector/detector.hpp"

namespace fleetward::bench {
namespace {

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// CPU seconds, user and system, of all threads since the process began.
void tell(std::string_view event, metrics::Registry& metrics) {
  const double applied = metrics.gauge("fleetward_detector_records", "", {{"outcome", "report_applied"}}).value();
  const auto checkpoints = metrics.counter("fleetward_detector_checkpoints_total", "").value();
  const double state = metrics.gauge("fleetward_detector_state_bytes", "").value();
  std::cout << fmt::format(
                   R"({{"event":"{}","applied":{:.0f},"checkpoints":{},"cpuSeconds":{:.3f},"stateBytes":{:.0f}}})",
                   event, applied, checkpoints, cpu_seconds(), state)
            << std::endl;
}

Status serve(const std::string& bootstrap, const std::string& member) {
  metrics::Registry metrics;
  crypto::SystemRandom random;
  bus::KafkaOptions options;
  options.bootstrap = bootstrap;
  options.security = "plain";
  options.client_id = member;
  auto bus = bus::open_kafka_bus(options, metrics);
  if (!bus) return bus.error();
  async::LoopThread loop("detector");
  detector::DetectorSettings settings;
  settings.member = member;
  detector::Detector detector(settings, **bus, loop, metrics, random);
  if (const Status started = detector.start(); !started) return started;
  while (!detector.ready().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  tell("ready", metrics);
  std::string line;
  while (std::getline(std::cin, line)) tell("looked", metrics);
  detector.stop(Millis(120'000));
  tell("stopped", metrics);
  return {};
}

}  // namespace
}  // namespace fleetward::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench_detector BOOTSTRAP MEMBER\n";
    return 2;
  }
  const auto done = fleetward::bench::serve(argv[1], argv[2]);
  if (!done) std::cerr << "bench_detector: " << done.error().message << "\n";
  return done ? 0 : 1;
}
