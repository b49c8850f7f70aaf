// What stands on the bus as JSON: whatever can be read is written such that it is read the same again. The first line
// names the record, the rest is its JSON ("event" is an envelope).
#include "fleet/action.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/violation.hpp"
#include "fuzz/target.hpp"

namespace fleetward::fuzz {
namespace {

template <class T>
void check(const json::Value& value, Result<T> (*from_json)(const json::Value&)) {
  const Result<T> record = from_json(value);
  if (!record) {
    expect(record.error().code == ErrorCode::invalid_argument, "what is refused is the record's fault");
    expect(is_utf8(record.error().message), "the reason can be shown");
    return;
  }
  const std::string text = json::dump(to_json(*record));
  const auto again = json::parse(text);
  expect(again.ok(), "it is written as JSON: " + printable(text, 512));
  const Result<T> read = from_json(*again);
  expect(read.ok(), "it is read again: " + (read ? "" : read.error().message));
  expect(*read == *record, "and is the same: " + printable(text, 512));
}

void check_event(std::string_view text) {
  const auto event = fleet::parse_cloud_event(text);
  if (!event) return;
  const auto again = fleet::parse_cloud_event(fleet::to_json_text(*event));
  expect(again && again->id == event->id && again->data == event->data && again->time == event->time,
         "an envelope is written as it is read");
}

void check_record(std::string_view kind, const json::Value& value) {
  if (kind == "violation") return check(value, fleet::violation_event_from_json);
  if (kind == "action") return check(value, fleet::action_from_json);
  if (kind == "step") return check(value, fleet::action_event_from_json);
  if (kind == "access") return check(value, fleet::access_record_from_json);
  if (kind == "certificate") return check(value, fleet::certificate_record_from_json);
  if (kind == "authority") return check(value, fleet::authority_record_from_json);
  if (kind == "gateway") return check(value, fleet::gateway_heartbeat_from_json);
  if (kind == "enforcement") return check(value, fleet::enforcement_event_from_json);
  if (kind == "cloud-metrics") return check(value, fleet::cloud_metrics_from_json);
  if (kind == "registry") return check(value, fleet::registry_fact_from_json);
  if (kind == "begin") return check(value, fleet::begin_from_json);
  if (kind == "tick") return check(value, fleet::tick_from_json);
  if (kind == "mark") return check(value, fleet::mark_from_json);
  if (kind == "manifest") return check(value, fleet::manifest_from_json);
  if (kind == "dimension") return check(value, fleet::dimension_from_json);
  if (kind == "counting") return check(value, fleet::counting_from_json);
  if (kind == "cohorts") return check(value, fleet::cohort_mark_from_json);
  if (kind == "cohort-sample") return check(value, fleet::cohort_sample_from_json);
  if (kind == "cohort-snapshot") return check(value, fleet::cohort_snapshot_from_json);
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  Input input(data, size);
  const std::string_view kind = input.line();
  if (kind == "event") {
    check_event(input.rest());
    return 0;
  }
  const auto value = json::parse(input.rest());
  if (value) check_record(kind, *value);
  return 0;
}
