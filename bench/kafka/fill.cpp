#include "bench/kafka/fill.hpp"

#include "bench/detect/reports.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/profile.hpp"
#include "fleet/topics.hpp"

namespace fleetward::bench {
namespace {

constexpr std::size_t records_per_batch = 1'000;
constexpr std::size_t well_behaved_devices = 512;  // for each that breaks the rules
constexpr Millis retention = std::chrono::hours(24);

bus::OutRecord rule_record(const std::string& key, std::string_view type, const json::Value& value) {
  return {std::string(fleet::topic::rules),
          key,
          fleet::to_json_text({key, "/bench", std::string(type), key, Instant{}, value}),
          {{fleet::header::version, "1"}},
          std::nullopt};
}

std::int64_t now_ms() { return to_ms(std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now())); }

}  // namespace

Status prepare(bus::Bus& bus, std::int32_t partitions) {
  std::vector<bus::TopicSpec> topics;
  for (const fleet::TopicInfo& t : fleet::all_topics) {
    topics.push_back({std::string(t.name), t.per_device ? partitions : 1,
                      t.is_table ? bus::TopicKind::table : bus::TopicKind::log, retention});
  }
  if (const Status made = bus.ensure_topics(topics); !made) return made;
  const Result<json::Value> behaviors = json::parse(static_behaviors());
  if (!behaviors) return behaviors.error();
  const json::Value profile = {{"securityProfileName", "bench"}, {"version", 1}, {"behaviors", *behaviors}};
  fleet::Manifest manifest;
  manifest.number = 1;
  manifest.profiles.push_back({"bench", 1, {{fleet::Target::Kind::all_things, {}}}});
  manifest.custom_metrics = custom_metrics();
  Writer writer(bus);
  writer.append({rule_record(fleet::profile_key("bench", 1), fleet::event_type::profile, profile),
                 rule_record(fleet::manifest_key(1), fleet::event_type::manifest, to_json(manifest))});
  const Result<Stretches> written = writer.finish();
  return written ? Status() : Status(written.error());
}

bus::OutRecord report_record(const std::string& device, std::int64_t received_ms, std::uint16_t packet_id) {
  bus::OutRecord record;
  record.topic = fleet::topic::devices;
  record.key = device;
  record.headers = {{fleet::header::kind, to_string(fleet::RecordKind::report)},
                    {fleet::header::received_ms, std::to_string(received_ms)},
                    {fleet::header::source, "gateway-1"},
                    {fleet::header::principal, std::string(64, 'a')},
                    {fleet::header::content_type, "application/json"},
                    {fleet::header::packet_id, std::to_string(packet_id)}};
  return record;
}

Result<Stretches> put_reports(bus::Bus& bus, const Reports& reports) {
  std::mt19937 random(reports.seed);
  const std::vector<std::string> texts = make_reports(random);
  const std::vector<std::string> breaking = make_breaking_reports(random);
  Writer writer(bus);
  std::vector<bus::OutRecord> batch;
  for (std::size_t i = 0; i < reports.count; ++i) {
    const std::size_t device = reports.one_each ? i % reports.devices : random() % reports.devices;
    bus::OutRecord& record =
        batch.emplace_back(report_record(device_name(device), now_ms(), static_cast<std::uint16_t>(i)));
    const bool breaks = device % (well_behaved_devices + 1) == 0;
    record.value = breaks ? breaking[i % breaking.size()] : texts[i % texts.size()];
    if (batch.size() == records_per_batch) writer.append(std::exchange(batch, {}));
  }
  if (!batch.empty()) writer.append(std::move(batch));
  return writer.finish();
}

}  // namespace fleetward::bench
