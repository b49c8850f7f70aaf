// Violations: what is in alarm, what was, and what people said of it.
#include "repository/violation_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;
using repository::ViolationCursor;

constexpr std::string_view verification_states = "FALSE_POSITIVE|BENIGN_POSITIVE|TRUE_POSITIVE|UNKNOWN";

std::string cursor_text(const ViolationCursor& c) { return fmt::format("{}.{}", c.time_ms, c.id); }

Result<std::optional<ViolationCursor>> cursor_in(Call& call) {
  const auto text = decode_token(call);
  if (!text) return text.error();
  if (text->empty()) return std::optional<ViolationCursor>();
  ViolationCursor cursor;
  const char* const end = text->data() + text->size();
  const auto [stop, failed] = std::from_chars(text->data(), end, cursor.time_ms);
  if (failed != std::errc() || stop == end) return Error(ErrorCode::invalid_argument, "nextToken is not one of ours");
  cursor.id.assign(stop + 1, end);
  return std::optional(std::move(cursor));
}

repository::ViolationFilter filter_in(Call& call) {
  repository::ViolationFilter f;
  const auto optional = [&](std::string_view name) {
    return call.args.texts.contains(name) ? std::optional(call.text(name)) : std::nullopt;
  };
  f.thing = optional("thingName");
  f.profile = optional("securityProfileName");
  f.criteria = optional("behaviorCriteriaType");
  f.verification_state = optional("verificationState");
  f.with_suppressed = call.args.boolean("listSuppressedAlerts", true);
  const auto from = call.args.times.find("startTime");
  const auto until = call.args.times.find("endTime");
  if (from != call.args.times.end()) f.from = from->second;
  if (until != call.args.times.end()) f.until = until->second;
  return f;
}

Value common_json(const repository::StoredViolation& v) {
  Value out = {{"violationId", v.event.violation_id},
               {"thingName", v.event.thing},
               {"securityProfileName", v.event.profile},
               {"behavior", to_json(v.event.behavior)},
               {"verificationState", v.verification_state}};
  if (!v.verification_description.empty()) out["verificationStateDescription"] = v.verification_description;
  return out;
}

Result<Value> list_active(Call& call) {
  const auto after = cursor_in(call);
  if (!after) return after.error();
  const auto page = repository::list_active_violations(call.tx, filter_in(call), page_size(call), *after);
  if (!page) return page.error();
  Value items = Value::array();
  for (const auto& v : page->violations) {
    Value item = common_json(v);
    if (v.event.value) item["lastViolationValue"] = to_json(*v.event.value);
    item["lastViolationTime"] = seconds(v.event.time);
    item["violationStartTime"] = seconds(v.event.start_time);
    items.push_back(std::move(item));
  }
  Value out = {{"activeViolations", std::move(items)}};
  if (page->next) out["nextToken"] = encode_token(call, cursor_text(*page->next));
  return out;
}

Result<Value> list_events(Call& call) {
  const auto after = cursor_in(call);
  if (!after) return after.error();
  const auto page = repository::list_violation_events(call.tx, filter_in(call), page_size(call), *after);
  if (!page) return page.error();
  Value items = Value::array();
  for (const auto& v : page->violations) {
    Value item = common_json(v);
    if (v.event.value) item["metricValue"] = to_json(*v.event.value);
    item["violationEventType"] = to_string(v.event.type);
    item["violationEventTime"] = seconds(v.event.time);
    items.push_back(std::move(item));
  }
  Value out = {{"violationEvents", std::move(items)}};
  if (page->next) out["nextToken"] = encode_token(call, cursor_text(*page->next));
  return out;
}

Result<Value> put_verification(Call& call) {
  const Status done = repository::set_verification(call.tx, call.text("violationId"), call.text("verificationState"),
                                                   call.text("verificationStateDescription"), call.who.name, call.now);
  // The operation declares no ResourceNotFoundException.
  if (!done && done.error().code == ErrorCode::not_found)
    return Error(ErrorCode::invalid_argument, "violationId: " + done.error().message);
  if (!done) return done.error();
  return Value::object();
}

// ---- the same under /v1, whole, with expected and seen

Result<Value> v1_list(Call& call, bool active) {
  const auto after = cursor_in(call);
  if (!after) return after.error();
  repository::ViolationFilter f;
  if (call.args.texts.contains("thing")) f.thing = call.text("thing");
  if (call.args.texts.contains("profile")) f.profile = call.text("profile");
  const std::int64_t limit = page_size(call, "limit", 100);
  const auto page = active ? repository::list_active_violations(call.tx, f, limit, *after)
                           : repository::list_violation_events(call.tx, f, limit, *after);
  if (!page) return page.error();
  Value items = Value::array();
  for (const auto& v : page->violations) {
    Value item = to_json(v.event);
    item["verificationState"] = v.verification_state;
    items.push_back(std::move(item));
  }
  Value out = {{active ? "violations" : "events", std::move(items)}};
  if (page->next) out["nextToken"] = encode_token(call, cursor_text(*page->next));
  return out;
}
Result<Value> v1_active(Call& call) { return v1_list(call, true); }
Result<Value> v1_events(Call& call) { return v1_list(call, false); }

}  // namespace

std::vector<Operation> violation_operations() {
  const std::vector<Member> common = {
      {"thingName", In::query, Kind::text, false, 1, 128},
      {"securityProfileName", In::query, Kind::name},
      {"behaviorCriteriaType", In::query, Kind::text, false, 1, 32, "STATIC|STATISTICAL|MACHINE_LEARNING"},
      {"verificationState", In::query, Kind::text, false, 1, 32, verification_states},
      {"listSuppressedAlerts", In::query, Kind::boolean},
      {"maxResults", In::query, Kind::integer, false, 1, page_max},
      {"nextToken", In::query, Kind::text, false, 1, 4096}};
  std::vector<Member> events = common;
  events.push_back({"startTime", In::query, Kind::timestamp, true});
  events.push_back({"endTime", In::query, Kind::timestamp, true});
  const std::vector<Member> v1 = {{"thing", In::query, Kind::text, false, 1, 128},
                                  {"profile", In::query, Kind::name},
                                  {"limit", In::query, Kind::integer, false, 1, page_max},
                                  {"nextToken", In::query, Kind::text, false, 1, 4096}};
  return {
      {{"ListActiveViolations", "GET", "/active-violations", Right::read, common}, list_active},
      {{"ListViolationEvents", "GET", "/violation-events", Right::read, events}, list_events},
      {{"PutVerificationStateOnViolation",
        "POST",
        "/violations/verification-state/{violationId}",
        Right::write,
        {{"violationId", In::path, Kind::text, true, 1, 128},
         {"verificationState", In::body, Kind::text, true, 1, 32, verification_states},
         {"verificationStateDescription", In::body, Kind::text, false, 0, 1000}}},
       put_verification},
      {{"v1.violations.list", "GET", "/v1/violations", Right::read, v1}, v1_active},
      {{"v1.violations.events", "GET", "/v1/violation-events", Right::read, v1}, v1_events},
  };
}

}  // namespace fleetward::api
