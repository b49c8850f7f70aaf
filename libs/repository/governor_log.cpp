#include "repository/governor_log.hpp"

#include "fleet/topics.hpp"
#include "repository/outbox.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository::detail {
namespace {

Result<std::int64_t> size_of(store::Transaction& tx, const std::string& group) {
  if (group != ungrouped) return group_size(tx, group);
  return count_of(tx.query("SELECT count(*) FROM things WHERE name NOT IN (SELECT thing FROM thing_group_members)"));
}

}  // namespace

Result<std::int64_t> count_of(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  return rows->at(0).integer(0);
}

Result<respond::GroupUse> use_of(store::Transaction& tx, const std::string& group, const std::string& thing,
                                 Instant now) {
  respond::GroupUse use{group, 0, 0, 0};
  const auto size = size_of(tx, group);
  if (!size) return size.error();
  const auto acted = tx.query(
      "SELECT count(DISTINCT thing), count(DISTINCT CASE WHEN at_ms > $4 THEN thing END) FROM governor_acted WHERE "
      "group_name=$1 AND thing<>$2 AND at_ms > $3",
      {group, thing, to_ms(now - respond::day_window), to_ms(now - respond::hour_window)});
  if (!acted) return acted.error();
  use.size = *size;
  use.acted_day = acted->at(0).integer(0);
  use.acted_hour = acted->at(0).integer(1);
  return use;
}

Status tell(store::Transaction& tx, fleet::GovernorEvent event) {
  const fleet::GovernorCondition& c = event.condition;
  const auto row = tx.query(
      "INSERT INTO governor_log(at_ms, kind, subject, step, actor, why, since_ms) VALUES($1, $2, $3, $4, $5, "
      "$6, $7) RETURNING number",
      {to_ms(event.time), std::string(to_string(c.kind)), c.subject, std::string(to_string(event.step)), event.actor,
       event.why, to_ms(c.since)});
  if (!row) return row.error();
  event.number = row->at(0).integer(0);
  event.id = fmt::format("governor.{}", event.number);
  const std::string key(fleet::governor_key);
  const auto version = next_version(tx, fleet::topic::actions, key);
  if (!version) return version.error();
  const fleet::CloudEvent envelope{event.id,   "/fleetward/responder", std::string(fleet::event_type::governor), key,
                                   event.time, to_json(event)};
  return publish(tx, {std::string(fleet::topic::actions), *version, envelope, {}});
}

Status raise(store::Transaction& tx, const fleet::GovernorCondition& c) {
  const auto made = tx.execute("INSERT INTO governor_conditions VALUES($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                               {std::string(to_string(c.kind)), c.subject, c.actor, c.why, to_ms(c.since)});
  if (!made) return made.error();
  if (*made == 0) return {};
  return tell(tx, {"", 0, fleet::GovernorStep::raised, c.actor, c.why, c.since, c});
}

Result<bool> end(store::Transaction& tx, fleet::GovernorKind kind, const std::string& subject, const std::string& actor,
                 const std::string& why, Instant now) {
  const auto gone =
      tx.query("DELETE FROM governor_conditions WHERE kind=$1 AND subject=$2 RETURNING actor, why, since_ms",
               {std::string(to_string(kind)), subject});
  if (!gone) return gone.error();
  if (gone->empty()) return false;
  const store::Row& r = gone->at(0);
  const fleet::GovernorCondition was{kind, subject, r.text(0), r.text(1), instant_from_ms(r.integer(2))};
  const Status told = tell(tx, {"", 0, fleet::GovernorStep::ended, actor, why, now, was});
  if (!told) return told.error();
  return true;
}

}  // namespace fleetward::repository::detail
