#include "services/collector/records.hpp"

#include <fmt/format.h>

#include <charconv>

#include "core/text.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/topics.hpp"

namespace fleetward::collector {
namespace {

constexpr std::size_t topic_bytes_max = 512;  // of it in a record's header
constexpr std::size_t headers_bytes = 512;

}  // namespace

Message message_of(fleet::DeadLetter letter, Instant now) {
  Message m;
  std::uint16_t id = 0;
  const std::string_view digits = std::string_view(letter.id).substr(0, 4);
  std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
  m.packet_id = id;
  m.dup = true;
  m.topic = std::move(letter.topic);
  m.key = std::move(letter.key);
  m.payload = std::move(letter.payload);
  m.content_type = std::move(letter.content_type);
  m.headers = std::move(letter.headers);
  m.received = now;
  return m;
}

collect::SourceMessage as_source(const Message& message) {
  collect::SourceMessage out;
  out.topic = message.topic;
  out.key = message.key;
  out.payload = message.payload;
  out.content_type = message.content_type;
  out.headers.assign(message.headers.begin(), message.headers.end());
  out.report_id = to_ms(message.received);
  return out;
}

bus::OutRecord report_record(const SourceName& source, const std::string& instance, bool vouched,
                             const Message& message, collect::Translation translation, const std::string& thing_id) {
  bus::OutRecord record{std::string(fleet::topic::devices),
                        std::move(translation.thing),
                        std::move(translation.report),
                        {},
                        std::nullopt};
  bus::Headers& headers = record.headers;
  headers.reserve_more(headers_bytes);
  const std::string origin = fmt::format("{}/{}", source.text(), printable(message.topic, topic_bytes_max));
  headers.push_back({fleet::header::kind, to_string(fleet::RecordKind::report)});
  headers.push_back({fleet::header::received_ms, std::to_string(to_ms(message.received))});
  headers.push_back({fleet::header::source, instance});
  headers.push_back({fleet::header::origin, origin});
  if (!vouched) headers.push_back({fleet::header::claimed, "1"});
  if (!thing_id.empty()) headers.push_back({fleet::header::thing_id, thing_id});
  headers.push_back({fleet::header::content_type, report::content_type(translation.encoding)});
  if (message.position) {
    headers.push_back({fleet::header::origin_partition, std::to_string(message.position->partition)});
    headers.push_back({fleet::header::origin_offset, std::to_string(message.position->offset)});
  }
  if (message.packet_id) headers.push_back({fleet::header::packet_id, std::to_string(*message.packet_id)});
  if (message.dup) headers.push_back({fleet::header::dup, "1"});
  return record;
}

bus::OutRecord dead_letter_record(const SourceName& source, const Message& message, std::string_view reason,
                                  std::string why) {
  fleet::DeadLetter letter;
  letter.source = source.text();
  letter.reason = reason;
  letter.why = std::move(why);
  letter.topic = message.topic;
  letter.key = message.key;
  if (message.position) {
    letter.partition = message.position->partition;
    letter.offset = message.position->offset;
  }
  letter.content_type = message.content_type;
  letter.headers = message.headers;
  letter.payload = message.payload;
  letter.received = message.received;
  letter.id = fleet::id_of(letter);
  fleet::keep_within_limits(letter);
  const fleet::CloudEvent event{letter.id,     "/fleetward/collector", std::string(fleet::event_type::dead_letter),
                                letter.source, letter.received,        to_json(letter)};
  return {std::string(fleet::topic::dead_letters),
          letter.source,
          to_json_text(event),
          {{fleet::header::content_type, "application/cloudevents+json"}},
          std::nullopt};
}

void mark_as_sent_again(bus::OutRecord& record) {
  const bool has_id = bus::find_header(record.headers, fleet::header::packet_id).has_value();
  if (!has_id || bus::find_header(record.headers, fleet::header::dup)) return;
  record.headers.push_back({fleet::header::dup, "1"});
}

}  // namespace fleetward::collector
