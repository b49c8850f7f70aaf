#include "services/detector/records.hpp"

#include <charconv>

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"

namespace fleetward::detector {
namespace {

template <class T>
std::optional<T> parse_decimal(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

constexpr std::int64_t received_ms_max = 253'402'300'799'999;  // the year 9999

}  // namespace

detect::InputRecord to_input(const bus::Record& record) {
  detect::InputRecord in;
  in.offset = record.offset;
  in.append_time = record.append_time;
  in.key = record.key;
  if (record.value) in.value = *record.value;
  for (const bus::Header header : record.headers) {
    if (header.name == fleet::header::kind) {
      in.kind = header.value;
    } else if (header.name == fleet::header::thing_id) {
      in.thing_id = header.value;
    } else if (header.name == fleet::header::content_type) {
      in.content_type = header.value;
    } else if (header.name == fleet::header::received_ms) {
      const auto ms = parse_decimal<std::int64_t>(header.value);
      if (ms && *ms >= 0 && *ms <= received_ms_max) in.received = instant_from_ms(*ms);
    } else if (header.name == fleet::header::packet_id) {
      in.packet_id = parse_decimal<std::uint16_t>(header.value);
    } else if (header.name == fleet::header::dup) {
      in.dup = header.value == "1";
    } else if (header.name == fleet::header::origin) {
      in.origin = header.value;
    } else if (header.name == fleet::header::origin_partition) {
      in.origin_partition = parse_decimal<std::int32_t>(header.value).value_or(-1);
    } else if (header.name == fleet::header::origin_offset) {
      in.origin_offset = parse_decimal<std::int64_t>(header.value).value_or(-1);
    } else if (header.name == fleet::header::claimed) {
      in.claimed = header.value == "1";
    }
  }
  return in;
}

std::string violation_text(const fleet::ViolationEvent& event) {
  return fleet::to_json_text({fleet::event_id(event), "/fleetward/detector", std::string(fleet::event_type::violation),
                              event.thing, event.time, to_json(event)});
}

bus::OutRecord to_record(const fleet::ViolationEvent& event) {
  return {std::string(fleet::topic::violations),
          event.thing,
          violation_text(event),
          {{std::string(fleet::header::content_type), "application/cloudevents+json"}},
          std::nullopt};
}

bus::OutRecord sample_record(const fleet::CohortSample& sample) {
  const std::string id = fmt::format("{}@{}/{}", sample.cohort, sample.pane, sample.partition);
  const Instant pane_end = instant_from_ms((sample.pane + 1) * detect::pane_seconds * 1000);
  return {std::string(fleet::topic::cohort_samples),
          sample.cohort,
          fleet::to_json_text({id, "/fleetward/detector", std::string(fleet::event_type::cohort_sample), sample.cohort,
                               pane_end, to_json(sample)}),
          {{std::string(fleet::header::content_type), "application/cloudevents+json"}},
          std::nullopt};
}

bus::OutRecord owner_record(fleet::RecordKind kind, std::int32_t partition, const json::Value& value, Instant now) {
  return {std::string(fleet::topic::devices),
          "",
          json::dump(value),
          {{std::string(fleet::header::kind), std::string(to_string(kind))},
           {std::string(fleet::header::received_ms), std::to_string(to_ms(now))}},
          partition};
}

}  // namespace fleetward::detector
