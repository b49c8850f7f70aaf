#include "bench/kafka/pulse.hpp"

#include <iostream>
#include <set>
#include <thread>

#include "bench/kafka/fill.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "fleet/violation.hpp"

namespace fleetward::bench {
namespace {

constexpr Millis send_every{5};
constexpr std::size_t events_per_poll = 2'000;
// The first port is in the profile's set, the second is not, and no other behavior looks at either.
constexpr std::string_view good =
    R"({"header":{"report_id":1,"version":"1.0"},"metrics":{"listening_tcp_ports":{"ports":[{"port":22}],"total":1}}})";
constexpr std::string_view bad =
    R"({"header":{"report_id":1,"version":"1.0"},"metrics":{"listening_tcp_ports":{"ports":[{"port":4711}],"total":1}}})";

// Reads the events, on a thread of its own.
class Listener {
 public:
  Listener(bus::Bus& bus, std::string prefix) : bus_(bus), prefix_(std::move(prefix)), scope_(loop_, "events") {}
  ~Listener() { stop(); }

  Status start() {
    auto reader = bus::read_all(bus_, loop_, std::string(fleet::topic::violations));
    if (!reader) return reader.error();
    reader_ = std::move(*reader);
    scope_.spawn("events", listen());
    return {};
  }
  // Whether so many have come.
  bool wait(std::int64_t events, Millis limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (seen().events < events && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(Millis(20));
    return seen().events >= events;
  }
  Pulse seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  void stop() {
    scope_.request_stop();
    async::run_on(loop_, [this] {
      if (reader_) reader_->wake();
    });
    scope_.join(Millis(5'000));
    async::run_on(loop_, [this] { reader_.reset(); });
  }

 private:
  async::Task<void> listen() {
    while (!scope_.stopping()) {
      Result<std::vector<bus::Record>> some = co_await reader_->poll(events_per_poll, Millis(1'000));
      if (!some) {
        std::cerr << "bench_kafka: " << some.error().message << "\n";
        co_return;
      }
      for (const bus::Record& record : *some) take(record);
    }
  }

  void take(const bus::Record& record) {
    if (!record.value || !record.key.starts_with(prefix_)) return;
    const auto event = fleet::parse_cloud_event(*record.value);
    if (!event) return;
    const auto violation = fleet::violation_event_from_json(event->data);
    if (!violation) return;
    const std::lock_guard lock(mutex_);
    if (!ids_.insert(event->id).second) {
      ++seen_.doubled;
      return;
    }
    ++seen_.events;
    seen_.waits_ms.push_back(to_ms(record.append_time) - to_ms(violation->received));
  }

  bus::Bus& bus_;
  std::string prefix_;
  std::mutex mutex_;  // seen_
  Pulse seen_;
  std::set<std::string> ids_;
  async::LoopThread loop_{"events"};
  async::Scope scope_;
  std::unique_ptr<bus::Reader> reader_;
};

std::int64_t now_ms() { return to_ms(std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now())); }

// Evenly, until the time is over. Each device changes with each of its reports.
Result<std::int64_t> send(bus::Bus& bus, const PulseOptions& options) {
  Writer writer(bus);
  std::int64_t sent = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto end = start + options.duration;
  for (auto now = start; now < end; now = std::chrono::steady_clock::now()) {
    const std::int64_t due = (now - start) / Millis(1) * options.per_second / 1'000;
    std::vector<bus::OutRecord> batch;
    for (; sent < due; ++sent) {
      const auto device = static_cast<std::size_t>(sent) % options.devices;
      const bool is_bad = static_cast<std::size_t>(sent) / options.devices % 2 == 0;
      batch.push_back(
          report_record(options.prefix + std::to_string(device), now_ms(), static_cast<std::uint16_t>(sent)));
      batch.back().value = is_bad ? bad : good;
    }
    if (!batch.empty()) writer.append(std::move(batch));
    std::this_thread::sleep_for(send_every);
  }
  const Result<Stretches> written = writer.finish();
  if (!written) return written.error();
  return sent;
}

}  // namespace

Result<Pulse> run_pulse(bus::Bus& bus, const PulseOptions& options) {
  Listener listener(bus, options.prefix);
  if (const Status listening = listener.start(); !listening) return listening.error();
  std::cout << R"({"event":"pulsing"})" << std::endl;
  const Result<std::int64_t> sent = send(bus, options);
  if (!sent) return sent.error();
  (void)listener.wait(*sent, options.patience);  // what is missing then is told
  listener.stop();
  Pulse out = listener.seen();
  out.reports = *sent;
  return out;
}

}  // namespace fleetward::bench
