#include "repository/incident_repository.hpp"

#include <charconv>

#include "fleet/topics.hpp"

namespace fleetward::repository {
namespace {

constexpr std::string_view columns = "id, entry, window_ms, is_open, severity, revision, closed_ms";

Status done(const Result<std::int64_t>& changed) { return changed.ok() ? Status() : Status(changed.error()); }

Result<std::vector<fleet::IncidentMember>> members_of(store::Transaction& tx, const std::string& incident) {
  const auto rows = tx.query("SELECT action, thing, level, state, reason, wait_reason FROM incident_members WHERE incident=$1 ORDER BY position", {incident});
  if (!rows) return rows.error();
  std::vector<fleet::IncidentMember> out;
  for (const store::Row& r : *rows) {
    const auto level = fleet::parse_hold_level(r.text(2));
    const auto state = fleet::parse_action_state(r.text(3));
    if (!level) return level.error();
    if (!state) return state.error();
    out.push_back({r.text(0), r.text(1), *level, *state, r.text(4), r.text(5)});
  }
  return out;
}

Result<std::vector<fleet::Incident>> incidents_of(store::Transaction& tx, const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<fleet::Incident> out;
  for (const store::Row& r : *rows) {
    auto members = members_of(tx, r.text(0));
    if (!members) return members.error();
    out.push_back({r.text(0), r.text(1), instant_from_ms(r.integer(2)), r.integer(3) == 1, r.text(4), r.integer(5), instant_from_ms(r.integer(6)), std::move(*members)});
  }
  return out;
}

// Where the action already is; else an incident of its entry whose window is open; else a new one.
Result<fleet::Incident> incident_for(store::Transaction& tx, const fleet::Action& action, Instant now) {
  const auto known = tx.query("SELECT incident FROM incident_members WHERE action=$1 OR action=$2", {action.id, action.follows});
  if (!known) return known.error();
  if (!known->empty()) return get_incident(tx, known->at(0).text(0));
  const std::string entry = incident::entry_of(action);
  auto open = incidents_of(tx, tx.query(fmt::format("SELECT {} FROM incidents WHERE entry=$1 AND is_open=1 AND window_ms > $2 ORDER BY window_ms DESC LIMIT 1", columns),
                                        {entry, to_ms(now - incident::window)}));
  if (!open) return open.error();
  if (!open->empty()) return std::move(open->at(0));
  fleet::Incident fresh{incident::incident_id(entry, now), entry, now, true, action.severity, 0, {}, {}};
  const Status made = done(tx.execute("INSERT INTO incidents VALUES($1, $2, $3, 1, $4, 0, 0)", {fresh.id, entry, to_ms(now), action.severity}));
  if (!made) return made.error();
  return fresh;
}

Status save(store::Transaction& tx, const fleet::Incident& i, const fleet::Action& action) {
  const Status saved = done(tx.execute("UPDATE incidents SET is_open=$2, revision=$3, closed_ms=$4 WHERE id=$1", {i.id, std::int64_t{i.open ? 1 : 0}, i.revision, to_ms(i.closed)}));
  if (!saved) return saved;
  return done(tx.execute("INSERT INTO incident_members VALUES($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT(incident, action) DO UPDATE SET state=excluded.state, "
                         "level=excluded.level, reason=excluded.reason, wait_reason=excluded.wait_reason",
                         {i.id, action.id, action.thing, std::string(to_string(action.level)), std::string(to_string(action.state)), action.reason, action.wait_reason,
                          static_cast<std::int64_t>(i.members.size())}));
}

}  // namespace

Status fold_action(store::Transaction& tx, const fleet::Action& action, Instant now) {
  if (!incident::concerns_people(action)) return {};
  auto i = incident_for(tx, action, now);
  if (!i) return i.error();
  if (!incident::fold(*i, action, now)) return {};
  if (const Status saved = save(tx, *i, action); !saved) return saved;
  const auto version = next_version(tx, fleet::topic::incidents, i->id);
  if (!version) return version.error();
  const fleet::CloudEvent event{fmt::format("{}.{}", i->id, i->revision), "/fleetward/notifier", std::string(fleet::event_type::incident), i->id, now, to_json(*i)};
  tx.notify(incidents_channel);
  return publish(tx, {std::string(fleet::topic::incidents), *version, event, {}});
}

Result<fleet::Incident> get_incident(store::Transaction& tx, const std::string& id) {
  auto found = incidents_of(tx, tx.query(fmt::format("SELECT {} FROM incidents WHERE id=$1", columns), {id}));
  if (!found) return found.error();
  if (found->empty()) return Error(ErrorCode::not_found, "there is no incident " + printable(id, 64));
  return std::move(found->at(0));
}

std::string incident_cursor(const fleet::Incident& i) { return fmt::format("{}.{}", to_ms(i.window_start), i.id); }

Result<std::vector<fleet::Incident>> list_incidents(store::Transaction& tx, std::optional<bool> open, const std::string& before, std::int64_t limit) {
  std::int64_t before_ms = std::numeric_limits<std::int64_t>::max();
  std::string before_id;
  if (!before.empty()) {
    const auto [end, failed] = std::from_chars(before.data(), before.data() + before.size(), before_ms);
    if (failed != std::errc() || end == before.data() + before.size() || *end != '.') return Error(ErrorCode::invalid_argument, "the page token is not one of ours");
    before_id = before.substr(static_cast<std::size_t>(end - before.data()) + 1);
  }
  return incidents_of(tx, tx.query(fmt::format("SELECT {} FROM incidents WHERE ($1 < 0 OR is_open = $1) AND (window_ms < $2 OR (window_ms = $2 AND id < $3)) "
                                               "ORDER BY window_ms DESC, id DESC LIMIT $4",
                                               columns),
                                   {std::int64_t{open ? (*open ? 1 : 0) : -1}, before_ms, before_id, limit}));
}

Result<std::vector<fleet::Incident>> due_pages(store::Transaction& tx, const std::string& receiver, Instant refresh_before, std::int64_t limit) {
  return incidents_of(tx, tx.query("SELECT i.id, i.entry, i.window_ms, i.is_open, i.severity, i.revision, i.closed_ms FROM incidents i LEFT JOIN incident_pages p "
                                   "ON p.incident = i.id AND p.receiver = $1 WHERE (i.is_open = 1 AND (p.revision IS NULL OR p.revision < i.revision OR p.sent_ms < $2)) "
                                   "OR (i.is_open = 0 AND (p.revision IS NULL OR p.resolved = 0)) ORDER BY i.window_ms LIMIT $3",
                                   {receiver, to_ms(refresh_before), limit}));
}

Status note_page(store::Transaction& tx, const fleet::Incident& i, const std::string& receiver, Instant now) {
  return done(tx.execute("INSERT INTO incident_pages VALUES($1, $2, $3, $4, $5) ON CONFLICT(incident, receiver) DO UPDATE SET revision=excluded.revision, sent_ms=excluded.sent_ms, "
                         "resolved=excluded.resolved",
                         {i.id, receiver, i.revision, to_ms(now), std::int64_t{i.open ? 0 : 1}}));
}

}  // namespace fleetward::repository
