#include "services/api/presence.hpp"

#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"

namespace fleetward::api {
namespace {

constexpr std::size_t batch_records = 5'000;
constexpr Millis look_every{1'000};

bus::TableFollower::Callbacks on_record(std::function<void(const bus::Record&)> note) {
  bus::TableFollower::Callbacks callbacks;
  callbacks.record = std::move(note);
  return callbacks;
}

}  // namespace

Presence::Presence(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics, std::size_t things_max)
    : bus_(bus),
      scheduler_(scheduler),
      things_max_(things_max),
      dropped_(
          metrics.counter("fleetward_api_presence_dropped_total", "Things whose presence was left out: too many.")),
      unreadable_(metrics.counter("fleetward_api_presence_unreadable_total", "Records that were not what they said.")),
      gateway_table_(bus, scheduler, std::string(fleet::topic::gateways), std::string(fleet::header::version),
                     on_record([this](const bus::Record& record) { note_gateway(record); })) {}

void Presence::start(async::Scope& scope) {
  scope.spawn("gateways", gateway_table_.run(scope));
  scope.spawn("presence", follow_devices(scope));
}

void Presence::wake() { gateway_table_.wake(); }

std::optional<Seen> Presence::of(const std::string& thing, Instant now) const {
  const std::lock_guard lock(mutex_);
  const auto found = things_.find(thing);
  if (found == things_.end()) return std::nullopt;
  Seen seen{found->second.last, found->second.connected};
  const auto gateway = gateways_.find(found->second.gateway);
  if (gateway == gateways_.end() || gateway->second.lease_end < now) seen.connected.reset();
  return seen;
}

std::vector<fleet::GatewayHeartbeat> Presence::gateways() const {
  const std::lock_guard lock(mutex_);
  std::vector<fleet::GatewayHeartbeat> out;
  for (const auto& [instance, heartbeat] : gateways_) out.push_back(heartbeat);
  return out;
}

void Presence::note_gateway(const bus::Record& record) {
  const auto event = record.value ? fleet::parse_cloud_event(*record.value)
                                  : Result<fleet::CloudEvent>(ErrorCode::invalid_argument, "a tombstone");
  const auto heartbeat =
      event ? fleet::gateway_heartbeat_from_json(event->data) : Result<fleet::GatewayHeartbeat>(event.error());
  if (!heartbeat) return unreadable_.add();
  const std::lock_guard lock(mutex_);
  gateways_[heartbeat->instance] = *heartbeat;
}

void Presence::note(const bus::Record& record) {
  const auto kind_text = bus::find_header(record.headers, fleet::header::kind);
  const auto kind = kind_text ? fleet::parse_record_kind(*kind_text) : std::nullopt;
  const bool is_report = kind == fleet::RecordKind::report;
  if (!is_report && kind != fleet::RecordKind::cloud_metrics) return;
  std::optional<fleet::CloudMetrics> cloud;
  if (!is_report) {
    const auto value = json::parse(record.value.value_or(""));
    const auto metrics = value ? fleet::cloud_metrics_from_json(*value) : Result<fleet::CloudMetrics>(value.error());
    if (!metrics) return unreadable_.add();
    cloud = *metrics;
  }
  const std::lock_guard lock(mutex_);
  if (things_.size() >= things_max_ && !things_.contains(record.key)) return dropped_.add();
  Entry& entry = things_[record.key];
  entry.last = std::max(entry.last, record.append_time);
  if (!cloud) return;
  entry.connected = cloud->connected;
  entry.gateway = cloud->gateway;
}

async::Task<void> Presence::follow_devices(async::Scope& scope) {
  std::unique_ptr<bus::Reader> reader;
  while (!scope.stopping() && !reader) {
    const Result<std::vector<bus::PartitionRange>> ranges =
        co_await bus_.ranges(scheduler_, std::string(fleet::topic::devices));
    std::vector<bus::Position> ends;
    if (ranges) {
      for (const bus::PartitionRange& r : *ranges) ends.push_back({r.partition, r.end});
    }
    auto opened = ranges ? bus_.read(scheduler_, std::string(fleet::topic::devices), ends)
                         : Result<std::unique_ptr<bus::Reader>>(ranges.error());
    if (opened) reader = std::move(*opened);
    else log::warn("presence_cannot_read", {{"error", opened.error().message}});
    if (!reader) co_await scope.sleep(look_every);
  }
  while (!scope.stopping()) {
    const Result<std::vector<bus::Record>> some = co_await reader->poll(batch_records, Millis(0));
    if (!some) log::warn("presence_cannot_read", {{"error", some.error().message}});
    if (some) {
      for (const bus::Record& record : *some) note(record);
    }
    const bool more = some.ok() && some->size() == batch_records;
    if (!more) co_await scope.sleep(look_every);
  }
}

}  // namespace fleetward::api
