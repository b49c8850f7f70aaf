#include "repository/governor_repository.hpp"

#include "core/text.hpp"
#include "repository/changed.hpp"
#include "repository/governor_log.hpp"

namespace fleetward::repository {
namespace {

using fleet::GovernorCondition;
using fleet::GovernorKind;
using fleet::GovernorStep;

constexpr std::int64_t conditions_max = 1000;  // of one kind, shown and tended at a time
const std::string responder = "responder";

Result<GovernorCondition> condition_of(const store::Row& r) {
  const auto kind = fleet::parse_governor_kind(r.text(0));
  if (!kind) return kind.error();
  return GovernorCondition{*kind, r.text(1), r.text(2), r.text(3), instant_from_ms(r.integer(4))};
}

Result<std::vector<std::string>> subjects_of(store::Transaction& tx, GovernorKind kind) {
  const auto rows = tx.query("SELECT subject FROM governor_conditions WHERE kind=$1 ORDER BY subject LIMIT $2",
                             {std::string(to_string(kind)), conditions_max});
  if (!rows) return rows.error();
  std::vector<std::string> out;
  for (const store::Row& r : *rows) out.push_back(r.text(0));
  return out;
}

Status end_free_caps(store::Transaction& tx, Instant now) {
  const auto groups = subjects_of(tx, GovernorKind::cap);
  if (!groups) return groups.error();
  for (const std::string& group : *groups) {
    const auto use = detail::use_of(tx, group, "", now);
    if (!use) return use.error();
    if (respond::is_exhausted(*use)) continue;
    const auto ended = detail::end(tx, GovernorKind::cap, group, responder, "the window has room again", now);
    if (!ended) return ended.error();
  }
  return {};
}

Status end_forged_records(store::Transaction& tx, Instant now) {
  const auto rows =
      tx.query("SELECT subject FROM governor_conditions WHERE kind=$1 AND since_ms <= $2 LIMIT $3",
               {std::string(to_string(GovernorKind::forged_record)), to_ms(now - forged_record_told), conditions_max});
  if (!rows) return rows.error();
  for (const store::Row& r : *rows) {
    const auto ended = detail::end(tx, GovernorKind::forged_record, r.text(0), responder,
                                   "it was told for a day; a record that is forged from now on is told anew", now);
    if (!ended) return ended.error();
  }
  return {};
}

Status prune(store::Transaction& tx, Instant now) {
  const auto older = [&](std::string_view table, std::string_view condition, Millis kept) {
    return done(tx.execute(fmt::format("DELETE FROM {} WHERE {}", table, condition), {to_ms(now - kept)}));
  };
  for (const Status& pruned : {older("governor_hits", "at_ms <= $1", respond::brake_window),
                               older("governor_acted", "at_ms <= $1", respond::day_window),
                               older("governor_canaries", "used_ms <= $1 AND state = 'proven'", canary_kept),
                               older("governor_log", "at_ms <= $1", governor_log_kept)}) {
    if (!pruned) return pruned;
  }
  return {};
}

}  // namespace

Result<std::vector<GovernorCondition>> governor_conditions(store::Transaction& tx) {
  const auto rows = tx.query(
      "SELECT kind, subject, actor, why, since_ms FROM governor_conditions ORDER BY kind DESC, subject LIMIT "
      "$1",
      {conditions_max});
  if (!rows) return rows.error();
  std::vector<GovernorCondition> out;
  for (const store::Row& r : *rows) {
    auto condition = condition_of(r);
    if (!condition) return condition.error();
    out.push_back(std::move(*condition));
  }
  return out;
}

Status set_stop_switch(store::Transaction& tx, bool on, const std::string& actor, const std::string& why, Instant now) {
  if (on) return detail::raise(tx, {GovernorKind::stop_switch, "", actor, why, now});
  const auto ended = detail::end(tx, GovernorKind::stop_switch, "", actor, why, now);
  return ended.ok() ? Status() : Status(ended.error());
}

Status note_stop_file(store::Transaction& tx, const std::string& instance, const std::string& path,
                      const std::optional<std::string>& words, Instant now) {
  const std::string ours = instance + ":";
  if (words) return detail::raise(tx, {GovernorKind::stop_file, ours + path, "stop file", *words, now});
  // Whatever it was called: a file that is configured no more stops nothing. Others have their own.
  const auto files = subjects_of(tx, GovernorKind::stop_file);
  if (!files) return files.error();
  for (const std::string& file : *files) {
    if (!file.starts_with(ours)) continue;
    const auto ended = detail::end(tx, GovernorKind::stop_file, file, responder, "the file is gone", now);
    if (!ended) return ended.error();
  }
  return {};
}

Status note_forged_record(store::Transaction& tx, const std::string& topic, const std::string& gateway,
                          const std::string& why, Instant now) {
  return detail::raise(tx, {GovernorKind::forged_record, topic, gateway, why, now});
}

Status release_brake(store::Transaction& tx, const std::string& behavior, const std::string& actor,
                     const std::string& why, Instant now) {
  const auto on = subjects_of(tx, GovernorKind::brake);
  if (!on) return on.error();
  for (const std::string& subject : *on) {
    if (behavior != "*" && behavior != subject) continue;
    const auto ended = detail::end(tx, GovernorKind::brake, subject, actor, why, now);
    if (!ended) return ended.error();
    if (behavior != "*") return {};
  }
  if (behavior == "*") return {};
  return Error(ErrorCode::not_found, fmt::format("there is no brake on for {}", printable(behavior, 128)));
}

Status reset_canary(store::Transaction& tx, const std::string& rule, const std::string& actor, const std::string& why,
                    Instant now) {
  const auto rows = tx.query("SELECT state, used_ms FROM governor_canaries WHERE rule=$1", {rule});
  if (!rows) return rows.error();
  if (rows->empty()) return Error(ErrorCode::not_found, "there is no canary of rule " + printable(rule, 256));
  if (rows->at(0).text(0) != "failed") {
    return Error(ErrorCode::failed_precondition,
                 fmt::format("the canary is {}: only one that failed is reset", rows->at(0).text(0)));
  }
  const Status gone = done(tx.execute("DELETE FROM governor_canaries WHERE rule=$1", {rule}));
  if (!gone) return gone;
  const GovernorCondition was{GovernorKind::canary, rule, responder, "the rule's first action failed",
                              instant_from_ms(rows->at(0).integer(1))};
  return detail::tell(tx, {"", 0, GovernorStep::reset, actor, why, now, was});
}

Status tend_governor(store::Transaction& tx, Instant now) {
  if (const Status ended = end_free_caps(tx, now); !ended) return ended;
  if (const Status ended = end_forged_records(tx, now); !ended) return ended;
  return prune(tx, now);
}

Result<std::vector<CanaryRow>> list_canaries(store::Transaction& tx, std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT rule, action, state, used_ms FROM governor_canaries ORDER BY CASE state WHEN 'failed' THEN 0 "
      "WHEN 'waiting' THEN 1 ELSE 2 END, rule LIMIT $1",
      {limit});
  if (!rows) return rows.error();
  std::vector<CanaryRow> out;
  for (const store::Row& r : *rows) out.push_back({r.text(0), r.text(1), r.text(2), instant_from_ms(r.integer(3))});
  return out;
}

Result<std::vector<respond::GroupUse>> group_uses(store::Transaction& tx, Instant now, std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT group_name FROM governor_acted WHERE at_ms > $1 GROUP BY group_name ORDER BY count(DISTINCT thing) DESC, "
      "group_name LIMIT $2",
      {to_ms(now - respond::day_window), limit});
  if (!rows) return rows.error();
  std::vector<respond::GroupUse> out;
  for (const store::Row& r : *rows) {
    auto use = detail::use_of(tx, r.text(0), "", now);
    if (!use) return use.error();
    out.push_back(std::move(*use));
  }
  return out;
}

Result<std::vector<fleet::GovernorEvent>> governor_log(store::Transaction& tx, std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT kind, subject, actor, why, since_ms, step, number, at_ms FROM governor_log ORDER BY number DESC LIMIT $1",
      {limit});
  if (!rows) return rows.error();
  std::vector<fleet::GovernorEvent> out;
  for (const store::Row& r : *rows) {
    auto condition = condition_of(r);
    const auto step = fleet::parse_governor_step(r.text(5));
    if (!condition) return condition.error();
    if (!step) return step.error();
    // The log's row says who took this step; who raised it is in the row that did.
    const std::string actor = condition->actor;
    const std::string why = condition->why;
    out.push_back({fmt::format("governor.{}", r.integer(6)), r.integer(6), *step, actor, why,
                   instant_from_ms(r.integer(7)), std::move(*condition)});
  }
  return out;
}

}  // namespace fleetward::repository
