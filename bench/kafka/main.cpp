// Fills the topics of a Kafka for the detector, consumes them as its peer does, and watches how long reports wait.
//
// Each prints JSON of what it did, on one line.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iostream>

#include "bench/kafka/bare_consumer.hpp"
#include "bench/kafka/fill.hpp"
#include "bench/kafka/pulse.hpp"
#include "bus/kafka_bus.hpp"

namespace fleetward::bench {
namespace {

constexpr std::string_view usage = R"(usage: bench_kafka prepare BOOTSTRAP PARTITIONS
       bench_kafka fill BOOTSTRAP DEVICES COUNT SEED    one report of each device when SEED is 0, else of any
       bench_kafka bare BOOTSTRAP DEVICES PARTITION:BEGIN:END,...
       bench_kafka pulse BOOTSTRAP PREFIX DEVICES PER_SECOND SECONDS
)";

using Words = std::vector<std::string>;

template <class T>
T number(std::string_view text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) {
    std::cerr << "bench_kafka: not a number: " << text << "\n" << usage;
    std::exit(2);
  }
  return out;
}

std::string to_text(const Stretches& stretches) {
  std::string out;
  for (const auto& [partition, s] : stretches) {
    out += fmt::format("{}{}:{}:{}", out.empty() ? "" : ",", partition, s.begin, s.end);
  }
  return out;
}

Stretches parse_stretches(std::string_view text) {
  const auto next = [&text](char end) {
    const std::size_t size = std::min(text.find(end), text.size());
    const std::string_view word = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    return word;
  };
  Stretches out;
  while (!text.empty()) {
    const auto partition = number<std::int32_t>(next(':'));
    const auto begin = number<std::int64_t>(next(':'));
    const auto end = number<std::int64_t>(next(','));
    out[partition] = {begin, end};
  }
  return out;
}

Result<std::string> make_ready(bus::Bus& bus, const Words& words) {
  if (const Status done = prepare(bus, number<std::int32_t>(words[2])); !done) return done.error();
  return std::string(R"({"event":"prepared"})");
}

Result<std::string> fill(bus::Bus& bus, const Words& words) {
  const auto seed = number<std::uint32_t>(words[4]);
  const Reports reports{number<std::size_t>(words[2]), number<std::size_t>(words[3]), seed == 0, seed};
  const Result<Stretches> put = put_reports(bus, reports);
  if (!put) return put.error();
  return fmt::format(R"({{"event":"filled","reports":{},"stretches":"{}"}})", reports.count, to_text(*put));
}

Result<std::string> bare(const Words& words) {
  const Result<Consumed> done = consume_bare(words[1], number<std::size_t>(words[2]), parse_stretches(words[3]));
  if (!done) return done.error();
  return fmt::format(R"({{"event":"consumed","reports":{},"cpuSeconds":{:.3f},"seconds":{:.3f}}})", done->reports,
                     done->cpu_seconds, done->seconds);
}

Result<std::string> pulse(bus::Bus& bus, const Words& words) {
  PulseOptions options;
  options.prefix = words[2];
  options.devices = number<std::size_t>(words[3]);
  options.per_second = number<std::int64_t>(words[4]);
  options.duration = Millis(number<std::int64_t>(words[5]) * 1'000);
  Result<Pulse> done = run_pulse(bus, options);
  if (!done) return done.error();
  std::vector<std::int64_t>& waits = done->waits_ms;
  if (waits.empty()) return Error(ErrorCode::unavailable, "no event came: is a detector there, and are the rules?");
  std::sort(waits.begin(), waits.end());
  return fmt::format(R"({{"event":"pulsed","reports":{},"events":{},"doubled":{},"p50Ms":{},"p99Ms":{},"maxMs":{}}})",
                     done->reports, done->events, done->doubled, waits[waits.size() / 2],
                     waits[waits.size() * 99 / 100], waits.back());
}

Result<std::string> run(const Words& words) {
  if (words[0] == "bare") return bare(words);
  metrics::Registry metrics;
  bus::KafkaOptions options;
  options.bootstrap = words[1];
  options.security = "plain";
  options.client_id = "bench";
  options.replication = 1;
  auto bus = bus::open_kafka_bus(options, metrics);
  if (!bus) return bus.error();
  if (words[0] == "prepare") return make_ready(**bus, words);
  return words[0] == "fill" ? fill(**bus, words) : pulse(**bus, words);
}

bool is_usage(const Words& words) {
  const std::map<std::string, std::size_t> known = {{"prepare", 3}, {"fill", 5}, {"bare", 4}, {"pulse", 6}};
  const auto found = words.empty() ? known.end() : known.find(words[0]);
  return found == known.end() || found->second != words.size();
}

}  // namespace
}  // namespace fleetward::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (fleetward::bench::is_usage(words)) {
    std::cerr << fleetward::bench::usage;
    return 2;
  }
  const auto done = fleetward::bench::run(words);
  if (!done) {
    std::cerr << "bench_kafka: " << done.error().message << "\n";
    return 1;
  }
  std::cout << *done << std::endl;
  return 0;
}
