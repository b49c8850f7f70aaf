#include "repository/incident_repository.hpp"

#include <charconv>
#include <map>
#include <set>

#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "repository/changed.hpp"
#include "repository/effects.hpp"

namespace fleetward::repository {
namespace {

constexpr std::string_view notifier_effects = "notifier";
constexpr std::size_t members_published_max = 200;
constexpr std::string_view columns = "id, entry, window_ms, is_open, severity, revision, closed_ms, condition";

Result<std::vector<fleet::IncidentMember>> members_of(store::Transaction& tx, const std::string& incident) {
  const auto rows = tx.query(
      "SELECT action, thing, level, state, reason, wait_reason, certificate_only FROM incident_members WHERE "
      "incident=$1 ORDER BY "
      "position",
      {incident});
  if (!rows) return rows.error();
  std::vector<fleet::IncidentMember> out;
  for (const store::Row& r : *rows) {
    const auto level = fleet::parse_hold_level(r.text(2));
    const auto state = fleet::parse_action_state(r.text(3));
    if (!level) return level.error();
    if (!state) return state.error();
    out.push_back({r.text(0), r.text(1), *level, *state, r.text(4), r.text(5), r.integer(6) == 1});
  }
  return out;
}

Result<std::optional<fleet::GovernorCondition>> condition_of(const store::Row& r, std::size_t column) {
  if (r.is_null(column)) return std::optional<fleet::GovernorCondition>();
  const auto body = json::parse(r.text(column));
  if (!body) return body.error();
  auto condition = fleet::governor_condition_from_json(*body);
  if (!condition) return condition.error();
  return std::optional(std::move(*condition));
}

Result<std::vector<fleet::Incident>> incidents_of(store::Transaction& tx, const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<fleet::Incident> out;
  for (const store::Row& r : *rows) {
    auto members = members_of(tx, r.text(0));
    if (!members) return members.error();
    auto condition = condition_of(r, 7);
    if (!condition) return condition.error();
    out.push_back({r.text(0), r.text(1), instant_from_ms(r.integer(2)), r.integer(3) == 1, r.text(4), r.integer(5),
                   instant_from_ms(r.integer(6)), std::move(*members), std::move(*condition)});
  }
  return out;
}

// Where the action, or the one that it follows, already is; else an incident of its entry whose window the event falls
// into, on either side: partitions are not read in one order. Empty: there is none.
Result<std::string> incident_with_place(store::Transaction& tx, const fleet::ActionEvent& event) {
  const fleet::Action& action = event.action;
  auto rows = tx.query("SELECT incident FROM incident_members WHERE action IN ($1, $2) ORDER BY action = $1 DESC",
                       {action.id, action.follows});
  if (!rows) return rows.error();
  if (rows->empty()) {
    rows = tx.query(
        "SELECT id FROM incidents i WHERE entry=$1 AND is_open=1 AND window_ms > $2 AND window_ms < $3 AND "
        "(SELECT count(*) FROM incident_members m WHERE m.incident = i.id) < $4 ORDER BY window_ms DESC LIMIT 1",
        {incident::entry_of(action), to_ms(event.time - incident::window), to_ms(event.time + incident::window),
         static_cast<std::int64_t>(incident::members_max)});
    if (!rows) return rows.error();
  }
  return rows->empty() ? std::string() : rows->at(0).text(0);
}

// Incidents of one batch, read once and published once.
using Batch = std::map<std::string, fleet::Incident>;

Result<fleet::Incident*> read_into(store::Transaction& tx, Batch& batch, const std::string& id) {
  const auto there = batch.find(id);
  if (there != batch.end()) return &there->second;
  auto read = get_incident(tx, id);
  if (!read) return read.error();
  return &batch.emplace(id, std::move(*read)).first->second;
}

// One that is there is open again.
Status insert(store::Transaction& tx, const fleet::Incident& i) {
  const store::Value condition = i.condition ? store::Value(json::dump(to_json(*i.condition))) : store::Value();
  return done(tx.execute(
      "INSERT INTO incidents(id, entry, window_ms, is_open, severity, revision, closed_ms, condition) VALUES($1, $2, "
      "$3, "
      "1, $4, $5, 0, $6) ON CONFLICT(id) DO UPDATE SET is_open=1, closed_ms=0, revision=incidents.revision + 1",
      {i.id, i.entry, to_ms(i.window_start), i.severity, i.revision, condition}));
}

Result<fleet::Incident*> open_into(store::Transaction& tx, Batch& batch, const fleet::ActionEvent& event) {
  fleet::Incident fresh = incident::open_incident(event);
  if (const Status made = insert(tx, fresh); !made) return made.error();
  return &batch.insert_or_assign(fresh.id, std::move(fresh)).first->second;
}

Status save(store::Transaction& tx, const fleet::Incident& i) {
  return done(tx.execute("UPDATE incidents SET is_open=$2, revision=$3, closed_ms=$4 WHERE id=$1",
                         {i.id, std::int64_t{i.open ? 1 : 0}, i.revision, to_ms(i.closed)}));
}

Status save(store::Transaction& tx, const fleet::Incident& i, const fleet::Action& action) {
  if (const Status saved = save(tx, i); !saved) return saved;
  const auto m =
      std::find_if(i.members.begin(), i.members.end(), [&](const auto& other) { return other.action == action.id; });
  return done(tx.execute(
      "INSERT INTO incident_members VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT(incident, action) DO UPDATE "
      "SET "
      "state=excluded.state, level=excluded.level, reason=excluded.reason, wait_reason=excluded.wait_reason",
      {i.id, m->action, m->thing, std::string(to_string(m->level)), std::string(to_string(m->state)), m->reason,
       m->wait_reason, static_cast<std::int64_t>(i.members.size()), std::int64_t{m->certificate_only ? 1 : 0}}));
}

Status fold_one(store::Transaction& tx, Batch& batch, std::set<std::string>& changed, const fleet::ActionEvent& event,
                Instant now) {
  if (!incident::concerns_people(event.action)) return {};
  const auto place = incident_with_place(tx, event);
  if (!place) return place.error();
  if (place->empty() && fleet::is_closed(event.action.state) && event.action.state != fleet::ActionState::failed)
    return {};  // it ended before anybody could be woken
  const auto i = place->empty() ? open_into(tx, batch, event) : read_into(tx, batch, *place);
  if (!i) return i.error();
  if (!incident::fold(**i, event.action, now)) return {};
  changed.insert((*i)->id);
  return save(tx, **i, event.action);
}

Status publish_incident(store::Transaction& tx, const fleet::Incident& i, Instant now) {
  const auto version = next_version(tx, fleet::topic::incidents, i.id);
  if (!version) return version.error();
  fleet::Incident cut = i;  // a record has a limit, and a change would else cost as much as the incident is large
  if (cut.members.size() > members_published_max) cut.members.resize(members_published_max);
  json::Value data = to_json(cut);
  data["memberCount"] = i.members.size();
  const fleet::CloudEvent event{fmt::format("{}.{}", i.id, i.revision),
                                "/fleetward/notifier",
                                std::string(fleet::event_type::incident),
                                i.id,
                                now,
                                std::move(data)};
  return publish(tx, {std::string(fleet::topic::incidents), *version, event, {}});
}

}  // namespace

Status fold_governor(store::Transaction& tx, const std::vector<fleet::GovernorEvent>& events, Instant now) {
  for (const fleet::GovernorEvent& event : events) {
    if (!incident::concerns_people(event)) continue;
    const auto first = first_time(tx, notifier_effects, event.id, now);
    if (!first) return first.error();
    if (!*first) continue;
    fleet::Incident i = incident::open_incident(event);
    if (event.step == fleet::GovernorStep::raised) {
      if (const Status made = insert(tx, i); !made) return made;
    } else {
      auto there = get_incident(tx, i.id);
      if (!there && there.error().code == ErrorCode::not_found) continue;  // it began before anybody was told
      if (!there) return there.error();
      i = std::move(*there);
      if (!incident::close(i, event.time)) continue;
      if (const Status saved = save(tx, i); !saved) return saved;
    }
    if (const Status published = publish_incident(tx, i, now); !published) return published;
    tx.notify(incidents_channel);
  }
  return {};
}

Status fold_actions(store::Transaction& tx, const std::vector<fleet::ActionEvent>& events, Instant now) {
  Batch batch;
  std::set<std::string> changed;
  for (const fleet::ActionEvent& event : events) {
    const auto first = first_time(tx, notifier_effects, event.id, now);
    if (!first) return first.error();
    if (!*first) continue;
    if (const Status folded = fold_one(tx, batch, changed, event, now); !folded) return folded;
  }
  for (const std::string& id : changed) {
    if (const Status published = publish_incident(tx, batch.at(id), now); !published) return published;
  }
  if (!changed.empty()) tx.notify(incidents_channel);
  return {};
}

Result<std::int64_t> prune_incidents(store::Transaction& tx, Instant now) {
  const auto effects = prune_effects(tx, notifier_effects, now, incidents_kept);
  if (!effects) return effects;
  static constexpr std::string_view old =
      "SELECT id FROM incidents WHERE is_open=0 AND closed_ms < $1 ORDER BY closed_ms LIMIT 500";
  const store::Params before{to_ms(now - incidents_kept)};
  for (const std::string_view table : {"incident_pages", "incident_members"}) {
    const Status removed = done(tx.execute(fmt::format("DELETE FROM {} WHERE incident IN ({})", table, old), before));
    if (!removed) return removed.error();
  }
  return tx.execute(fmt::format("DELETE FROM incidents WHERE id IN ({})", old), before);
}

Result<fleet::Incident> get_incident(store::Transaction& tx, const std::string& id) {
  auto found = incidents_of(tx, tx.query(fmt::format("SELECT {} FROM incidents WHERE id=$1", columns), {id}));
  if (!found) return found.error();
  if (found->empty()) return Error(ErrorCode::not_found, "there is no incident " + printable(id, 64));
  return std::move(found->at(0));
}

std::string incident_cursor(const fleet::Incident& i) { return fmt::format("{}.{}", to_ms(i.window_start), i.id); }

Result<std::vector<fleet::Incident>> list_incidents(store::Transaction& tx, std::optional<bool> open,
                                                    const std::string& before, std::int64_t limit) {
  std::int64_t before_ms = std::numeric_limits<std::int64_t>::max();
  std::string before_id;
  if (!before.empty()) {
    const auto [end, failed] = std::from_chars(before.data(), before.data() + before.size(), before_ms);
    if (failed != std::errc() || end == before.data() + before.size() || *end != '.')
      return Error(ErrorCode::invalid_argument, "the page token is not one of ours");
    before_id = before.substr(static_cast<std::size_t>(end - before.data()) + 1);
  }
  return incidents_of(tx, tx.query(fmt::format("SELECT {} FROM incidents WHERE ($1 < 0 OR is_open = $1) AND (window_ms "
                                               "< $2 OR (window_ms = $2 AND id < $3)) "
                                               "ORDER BY window_ms DESC, id DESC LIMIT $4",
                                               columns),
                                   {std::int64_t{open ? (*open ? 1 : 0) : -1}, before_ms, before_id, limit}));
}

Result<std::vector<fleet::Incident>> due_pages(store::Transaction& tx, const std::string& receiver, Instant now,
                                               Millis refresh, std::int64_t limit) {
  return incidents_of(
      tx, tx.query(fmt::format("SELECT i.id, i.entry, i.window_ms, i.is_open, i.severity, i.revision, i.closed_ms, "
                               "i.condition FROM incidents i "
                               "LEFT JOIN incident_pages p "
                               "ON p.incident = i.id AND p.receiver = $1 WHERE ((i.is_open = 1 AND (p.revision IS NULL "
                               "OR p.revision < i.revision OR p.sent_ms < $2 OR p.sent_ms > $5)) "
                               "OR (i.is_open = 0 AND (p.revision IS NULL OR p.resolved = 0 OR p.revision < "
                               "i.revision))) AND {} "
                               "ORDER BY i.window_ms LIMIT $3",
                               detail::may_be_told("$4")),
                   {receiver, to_ms(now - refresh), limit, to_ms(now - governor_page_after), to_ms(now)}));
}

std::string detail::may_be_told(std::string_view began_before) {
  return fmt::format(
      "(i.entry NOT IN ('governor/brake', 'governor/cap') OR (p.revision IS NOT NULL AND p.resolved = 0) OR "
      "(i.is_open = 1 AND i.window_ms < {} AND NOT EXISTS(SELECT 1 FROM incidents d WHERE d.is_open = 1 AND "
      "d.condition IS NULL)))",
      began_before);
}

Status note_page(store::Transaction& tx, const fleet::Incident& i, const std::string& receiver, Instant now) {
  return done(
      tx.execute("INSERT INTO incident_pages VALUES($1, $2, $3, $4, $5) ON CONFLICT(incident, receiver) DO UPDATE SET "
                 "revision=excluded.revision, sent_ms=excluded.sent_ms, "
                 "resolved=excluded.resolved",
                 {i.id, receiver, i.revision, to_ms(now), std::int64_t{i.open ? 0 : 1}}));
}

}  // namespace fleetward::repository
