#include "fleet/cloud_event.hpp"

namespace fleetward::fleet {

std::string to_json_text(const CloudEvent& event) {
  return json::dump({{"specversion", "1.0"},
                     {"id", event.id},
                     {"source", event.source},
                     {"type", event.type},
                     {"subject", event.subject},
                     {"time", to_rfc3339(event.time)},
                     {"datacontenttype", "application/json"},
                     {"data", event.data}});
}

Result<CloudEvent> parse_cloud_event(std::string_view text) {
  const Result<json::Value> value = json::parse(text);
  if (!value) return value.error().with_context("CloudEvent");
  json::Reader r(*value, "");
  CloudEvent event;
  if (r.text("specversion") != "1.0") r.problem("specversion", "is not 1.0");
  event.id = r.text("id", 1, 256);
  event.source = r.text("source", 1, 256);
  event.type = r.text("type", 1, 256);
  event.subject = r.text_or("subject", "", 512);
  const Result<Instant> time = parse_rfc3339(r.text("time"));
  if (!time) r.problem("time", time.error().message);
  const json::Value* data = r.required("data");
  if (const Status status = r.finish(); !status) return status.error().with_context("CloudEvent");
  event.time = *time;
  event.data = *data;
  return event;
}

}  // namespace fleetward::fleet
