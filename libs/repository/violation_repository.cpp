#include "repository/violation_repository.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "detect/validate.hpp"
#include "fleet/topics.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {
namespace {

constexpr std::array<std::string_view, 4> verification_states = {"FALSE_POSITIVE", "BENIGN_POSITIVE", "TRUE_POSITIVE",
                                                                 "UNKNOWN"};
constexpr std::size_t description_bytes_max = 1000;

std::string_view criteria_name(const fleet::Behavior& behavior) {
  switch (detect::criteria_kind(behavior)) {
    case detect::CriteriaKind::statistical:
      return "STATISTICAL";
    case detect::CriteriaKind::machine_learning:
      return "MACHINE_LEARNING";
    default:
      return "STATIC";
  }
}

// Conditions of a query with their parameters, in order.
class Where {
 public:
  void add(std::string_view condition, store::Value value) {
    params_.push_back(std::move(value));
    text_ += fmt::format("{} {}${}", text_.empty() ? " WHERE" : " AND", condition, params_.size());
  }
  void add_after(const ViolationCursor& cursor) {
    params_.emplace_back(cursor.time_ms);
    params_.emplace_back(cursor.id);
    const std::size_t n = params_.size();
    text_ += fmt::format("{} (e.time_ms < ${} OR (e.time_ms = ${} AND e.id < ${}))", text_.empty() ? " WHERE" : " AND",
                         n - 1, n - 1, n);
  }
  [[nodiscard]] const std::string& text() const { return text_; }
  store::Params& params() { return params_; }

 private:
  std::string text_;
  store::Params params_;
};

Where where_of(const ViolationFilter& f, std::string_view violation_id_column) {
  Where where;
  if (f.thing) where.add("e.thing=", *f.thing);
  if (f.profile) where.add("e.profile=", *f.profile);
  if (f.violation_id) where.add(fmt::format("e.{}=", violation_id_column), *f.violation_id);
  if (f.criteria) where.add("e.criteria=", *f.criteria);
  if (f.verification_state) where.add("COALESCE(v.state, 'UNKNOWN')=", *f.verification_state);
  if (!f.with_suppressed) where.add("e.suppressed=", std::int64_t{0});
  if (f.from) where.add("e.time_ms>=", to_ms(*f.from));
  if (f.until) where.add("e.time_ms<", to_ms(*f.until));
  return where;
}

Result<ViolationPage> list(store::Transaction& tx, std::string_view table, std::string_view violation_id_column,
                           const ViolationFilter& filter, std::int64_t limit,
                           const std::optional<ViolationCursor>& after) {
  limit = std::clamp<std::int64_t>(limit, 1, violations_page_max);
  Where where = where_of(filter, violation_id_column);
  if (after) where.add_after(*after);
  where.params().emplace_back(limit + 1);
  const auto rows = tx.query(
      fmt::format("SELECT e.body, e.time_ms, e.id, COALESCE(v.state, 'UNKNOWN'), COALESCE(v.description, '') FROM {} e "
                  "LEFT JOIN violation_verifications v ON v.violation_id = e.{}{} ORDER BY e.time_ms DESC, e.id DESC "
                  "LIMIT ${}",
                  table, violation_id_column, where.text(), where.params().size()),
      where.params());
  if (!rows) return rows.error();
  ViolationPage page;
  for (const store::Row& row : *rows) {
    if (static_cast<std::int64_t>(page.violations.size()) == limit) {
      const store::Row& last = (*rows)[page.violations.size() - 1];
      page.next = ViolationCursor{last.integer(1), last.text(2)};
      break;
    }
    const auto body = json::parse(row.text(0));
    if (!body) return Error(ErrorCode::corrupted, "violation: " + body.error().message);
    auto event = fleet::violation_event_from_json(*body);
    if (!event) return Error(ErrorCode::corrupted, event.error().message);
    page.violations.push_back({std::move(*event), row.text(3), row.text(4)});
  }
  return page;
}

}  // namespace

bool is_verification_state(std::string_view state) {
  return std::find(verification_states.begin(), verification_states.end(), state) != verification_states.end();
}

Result<bool> record_violation_event(store::Transaction& tx, const fleet::ViolationEvent& e) {
  const std::string body = json::dump(to_json(e));
  const std::string criteria(criteria_name(e.behavior));
  const std::int64_t suppressed = e.behavior.suppress_alerts ? 1 : 0;
  const auto added = tx.execute(
      "INSERT INTO violation_events(id, violation_id, type, thing, profile, behavior, criteria, suppressed, time_ms, "
      "body) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
      {fleet::event_id(e), e.violation_id, std::string(to_string(e.type)), e.thing, e.profile, e.behavior.name,
       criteria, suppressed, to_ms(e.time), body});
  if (!added) return added.error();
  if (*added == 0) return false;
  if (e.type != fleet::ViolationEventType::in_alarm) {
    const auto ended = tx.execute("DELETE FROM violations_active WHERE id=$1", {e.violation_id});
    if (!ended) return ended.error();
    return true;
  }
  // What has ended stays ended, in whatever order its events are read.
  const auto active = tx.execute(
      "INSERT INTO violations_active(id, thing, profile, behavior, criteria, suppressed, time_ms, body) "
      "SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS "
      "(SELECT 1 FROM violation_events WHERE violation_id=$1 AND type<>'in-alarm') ON CONFLICT DO NOTHING",
      {e.violation_id, e.thing, e.profile, e.behavior.name, criteria, suppressed, to_ms(e.time), body});
  if (!active) return active.error();
  return true;
}

Result<ViolationPage> list_active_violations(store::Transaction& tx, const ViolationFilter& filter, std::int64_t limit,
                                             const std::optional<ViolationCursor>& after) {
  return list(tx, "violations_active", "id", filter, limit, after);
}

Result<ViolationPage> list_violation_events(store::Transaction& tx, const ViolationFilter& filter, std::int64_t limit,
                                            const std::optional<ViolationCursor>& after) {
  return list(tx, "violation_events", "violation_id", filter, limit, after);
}

Result<std::int64_t> count_active_violations(store::Transaction& tx, std::string_view thing) {
  const auto rows = tx.query("SELECT COUNT(*) FROM violations_active WHERE thing=$1", {std::string(thing)});
  if (!rows) return rows.error();
  return rows->front().integer(0);
}

Status end_violations_of_lost_log(store::Transaction& tx, Instant now) {
  std::optional<ViolationCursor> after;
  do {
    const auto page = list_active_violations(tx, {}, violations_page_max, after);
    if (!page) return page.error();
    for (const StoredViolation& violation : page->violations) {
      fleet::ViolationEvent ended = violation.event;
      ended.type = fleet::ViolationEventType::alarm_invalidated;
      ended.time = now;
      ended.value.reset();
      ended.reason = "the log that it stood in is lost";
      const auto version = next_version(tx, fleet::topic::violations, ended.thing);
      if (!version) return version.error();
      const fleet::CloudEvent event{
          fleet::event_id(ended), "/fleetward/store", std::string(fleet::event_type::violation), ended.thing, now,
          to_json(ended)};
      const Status said = publish(tx, {std::string(fleet::topic::violations), *version, event, {}});
      if (!said) return said;
    }
    after = page->next;
  } while (after);
  return {};
}

Status set_verification(store::Transaction& tx, std::string_view violation_id, std::string_view state,
                        std::string_view description, std::string_view actor, Instant now) {
  if (!is_verification_state(state)) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("verificationState is not one of {}", fmt::join(verification_states, ", ")));
  }
  if (description.size() > description_bytes_max) {
    return Error(ErrorCode::invalid_argument, "verificationStateDescription is longer than 1000 bytes");
  }
  const auto known = tx.query(
      "SELECT 1 FROM violation_events WHERE violation_id=$1 UNION SELECT 1 FROM violations_active WHERE id=$1 LIMIT 1",
      {std::string(violation_id)});
  if (!known) return known.error();
  if (known->empty()) return Error(ErrorCode::not_found, "there is no such violation");
  const auto set = tx.execute(
      "INSERT INTO violation_verifications(violation_id, state, description, actor, at_ms) VALUES($1, $2, $3, $4, $5) "
      "ON CONFLICT(violation_id) DO UPDATE SET state=$2, description=$3, actor=$4, at_ms=$5",
      {std::string(violation_id), std::string(state), std::string(description), std::string(actor), to_ms(now)});
  if (!set) return set.error();
  return {};
}

Result<std::int64_t> prune_violation_events(store::Transaction& tx, Instant now, Millis keep, std::int64_t rows_max) {
  const auto removed = tx.execute(
      "DELETE FROM violation_events WHERE id IN (SELECT id FROM violation_events WHERE time_ms < $1 ORDER BY time_ms "
      "LIMIT $2)",
      {to_ms(now - keep), rows_max});
  if (!removed) return removed.error();
  if (*removed > 0) {
    const auto orphans = tx.execute(
        "DELETE FROM violation_verifications WHERE violation_id NOT IN (SELECT violation_id FROM violation_events) AND "
        "violation_id NOT IN (SELECT id FROM violations_active)");
    if (!orphans) return orphans.error();
  }
  return *removed;
}

}  // namespace fleetward::repository
