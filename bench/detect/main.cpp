// How fast one core detects: reports of 1.2 KB parsed and judged by 20 static behaviors, over many devices, beside a
// bare loop that only parses, finds the device's state and compares 20 numbers.
//
// Prints JSON: nanoseconds a report by thread CPU time, median of the rounds, and the ratio of bare loop to engine.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>

#include "bench/detect/bare_loop.hpp"
#include "detect/test_world.hpp"

namespace fleetward::bench {
namespace {

using detect::testing::World;

struct Options {
  std::size_t devices = 1'000'000;
  std::size_t reports = 400'000;  // a round
  int rounds = 5;
};

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

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), random_(7), reports_(make_reports(random_)), bare_(options.devices) {
    for (const fleet::CustomMetric& metric : custom_metrics()) world_.custom_metric(metric.name, metric.type);
    world_.profile("bench", static_behaviors());
    for (std::size_t i = 0; i < options.devices; ++i) apply(bare_.names()[i], i);
  }

  Numbers run() {
    Numbers out;
    for (int round = 0; round < options_.rounds; ++round) {
      out.parse.push_back(per_report([&](std::size_t i) { bare_.parse(report(i)); }));
      out.bare.push_back(per_report([&](std::size_t i) { bare_.apply(any_device(), report(i)); }));
      out.engine.push_back(per_report([&](std::size_t i) { apply(any_device(), i); }));
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

  const std::string& report(std::size_t i) const { return reports_[i % reports_.size()]; }
  const std::string& any_device() { return bare_.names()[random_() % bare_.names().size()]; }

  void apply(const std::string& name, std::size_t i) {
    detect::InputRecord in;
    in.offset = ++offset_ + static_cast<std::int64_t>(world_.log().size());
    in.append_time = instant_from_ms(world_.now_ms());
    in.key = name;
    in.value = report(i);
    in.kind = "report";
    in.packet_id = static_cast<std::uint16_t>(i);
    world_.engine().apply(in, out_);
  }

  Options options_;
  std::mt19937 random_;
  std::vector<std::string> reports_;
  World world_;
  BareLoop bare_;
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
}  // namespace fleetward::bench

int main(int argc, char** argv) { return fleetward::bench::run(argc, argv); }
