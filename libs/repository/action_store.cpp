#include "repository/action_store.hpp"

#include "crypto/digest.hpp"
#include "fleet/topics.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/changed.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository {
namespace {

constexpr std::int32_t chains = 4;
constexpr std::int64_t list_max = 1000;

// Proposed ones that are only observed wait for nothing.
bool waits_for_canary(const fleet::Action& a) { return a.state == fleet::ActionState::proposed && a.mode != "observe"; }

std::string step_hash(const std::string& previous, const std::string& event) {
  return crypto::sha256_hex(previous + "\n" + event);
}

Result<std::vector<fleet::Action>> actions_of(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<fleet::Action> out;
  for (const store::Row& r : *rows) {
    const auto body = json::parse(r.text(0));
    if (!body) return body.error();
    auto action = fleet::action_from_json(*body);
    if (!action) return action.error();
    out.push_back(std::move(*action));
  }
  return out;
}

// All of the thing's holds as one record, for gateways. Its version.
Result<std::int64_t> publish_access(store::Transaction& tx, const std::string& thing, const std::string& thing_id,
                                    Instant now) {
  const auto version = next_version(tx, fleet::topic::access, thing);
  if (!version) return version.error();
  auto holds = holds_of(tx, thing);
  if (!holds) return holds.error();
  const fleet::AccessRecord record{thing, thing_id, *version, std::move(*holds)};
  const fleet::CloudEvent event{fmt::format("access.{}.{}", thing, *version),
                                "/fleetward/responder",
                                std::string(fleet::event_type::access),
                                thing,
                                now,
                                to_json(record)};
  if (const Status told = publish(tx, {std::string(fleet::topic::access), *version, event, {}}); !told)
    return told.error();
  return *version;
}

Status revoke_certificates_of(store::Transaction& tx, const std::string& thing, Instant now) {
  const auto certificates = certificates_of(tx, thing);
  if (!certificates) return certificates.error();
  for (const CertificateRow& c : *certificates) {
    if (const Status s = revoke_certificate(tx, c.id, pki::RevocationReason::key_compromise, now); !s) return s;
  }
  return {};
}

// The hold, and the record that puts it in force.
Status hold(store::Transaction& tx, fleet::Action& action, const std::string& actor, Instant now) {
  const Status held =
      done(tx.execute("INSERT INTO holds VALUES($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT(thing, action) DO UPDATE "
                      "SET level=excluded.level, lease_end_ms=excluded.lease_end_ms",
                      {action.thing, action.id, action.thing_id, std::string(to_string(action.level)), action.reason,
                       actor, to_ms(now), to_ms(action.lease_end)}));
  if (!held) return held;
  if (action.level == fleet::HoldLevel::revoke) {
    if (const Status revoked = revoke_certificates_of(tx, action.thing, now); !revoked) return revoked;
  }
  const auto version = publish_access(tx, action.thing, action.thing_id, now);
  if (!version) return version.error();
  action.access_version = *version;
  return {};
}

Status revoke_alone(store::Transaction& tx, const std::vector<std::string>& certificates, Instant now) {
  for (const std::string& id : certificates) {
    if (const Status s = revoke_certificate(tx, id, pki::RevocationReason::unspecified, now); !s) return s;
  }
  return {};
}

}  // namespace

namespace detail {

std::int32_t chain_of(const std::string& thing) { return bus::partition_of(thing, chains); }

Status insert_action(store::Transaction& tx, const fleet::Action& a) {
  return done(
      tx.execute("INSERT INTO actions(id, thing, level, state, entry, rule, body, steps, created_ms, updated_ms) "
                 "VALUES($1, $2, $3, $4, $5, $6, $7, 0, $8, $8)",
                 {a.id, a.thing, std::string(to_string(a.level)), std::string(to_string(a.state)), a.entry, a.rule,
                  json::dump(to_json(a)), to_ms(a.created)}));
}

Status record_step(store::Transaction& tx, fleet::Action& action, std::string_view step, const std::string& actor,
                   const std::string& why, Instant now) {
  action.updated = now;
  const auto count = tx.query(
      "UPDATE actions SET state=$2, level=$3, body=$4, steps=steps+1, updated_ms=$5, waits=$6 WHERE id=$1 RETURNING "
      "steps",
      {action.id, std::string(to_string(action.state)), std::string(to_string(action.level)),
       json::dump(to_json(action)), to_ms(now), std::int64_t{waits_for_canary(action) ? 1 : 0}});
  if (!count) return count.error();
  if (count->empty()) return Error(ErrorCode::not_found, "there is no action " + action.id);
  const std::int64_t number = count->at(0).integer(0);
  const fleet::ActionEvent event{
      fmt::format("{}.{}", action.id, number), number, std::string(step), actor, why, now, action};

  const std::int64_t chain = chain_of(action.thing);
  const auto last = tx.query("SELECT position, hash FROM action_chain WHERE chain=$1", {chain});
  if (!last) return last.error();
  const std::int64_t position = last->empty() ? 1 : last->at(0).integer(0) + 1;
  const std::string text = json::dump(to_json(event));
  const std::string hash = step_hash(last->empty() ? "" : last->at(0).text(1), text);
  for (const Status& written :
       {done(tx.execute("INSERT INTO action_chain VALUES($1, $2, $3) ON CONFLICT(chain) DO UPDATE SET "
                        "position=excluded.position, hash=excluded.hash",
                        {chain, position, hash})),
        done(
            tx.execute("INSERT INTO action_steps VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                       {action.id, number, to_ms(now), std::string(step), actor, why, chain, position, text, hash}))}) {
    if (!written) return written;
  }
  const auto version = next_version(tx, fleet::topic::actions, action.thing);
  if (!version) return version.error();
  const fleet::CloudEvent envelope{
      event.id, "/fleetward/responder", std::string(fleet::event_type::action), action.thing, now, to_json(event)};
  tx.notify(actions_channel);
  return publish(tx, {std::string(fleet::topic::actions), *version, envelope, {}});
}

Status execute(store::Transaction& tx, fleet::Action& action, const std::string& actor, const std::string& why,
               Instant now) {
  const Status begun =
      action.certificates.empty() ? hold(tx, action, actor, now) : revoke_alone(tx, action.certificates, now);
  if (!begun) return begun;
  action.state = fleet::ActionState::executing;
  action.wait_reason.clear();
  if (action.stopwatch.decided == Instant()) action.stopwatch.decided = now;
  return record_step(tx, action, "executing", actor, why, now);
}

Status lift(store::Transaction& tx, const fleet::Action& action, Instant now) {
  const auto removed = tx.execute("DELETE FROM holds WHERE thing=$1 AND action=$2", {action.thing, action.id});
  if (!removed) return removed.error();
  if (*removed == 0) return {};
  // The record is of whoever has the name now.
  const auto present = find_thing(tx, action.thing);
  if (!present) return present.error();
  const auto version = publish_access(tx, action.thing, *present ? (**present).id : action.thing_id, now);
  return version.ok() ? Status() : Status(version.error());
}

Result<bool> is_present(store::Transaction& tx, const std::string& thing, const std::string& thing_id) {
  const auto row = find_thing(tx, thing);
  if (!row) return row.error();
  return *row && (thing_id.empty() || (**row).id == thing_id);
}

}  // namespace detail

Result<std::vector<fleet::Action>> waiting_for_canary(store::Transaction& tx, std::int64_t limit) {
  return actions_of(tx.query("SELECT body FROM actions WHERE waits=1 ORDER BY created_ms LIMIT $1", {limit}));
}

Result<fleet::Action> get_action(store::Transaction& tx, const std::string& id) {
  auto found = actions_of(tx.query("SELECT body FROM actions WHERE id=$1", {id}));
  if (!found) return found.error();
  if (found->empty()) return Error(ErrorCode::not_found, "there is no action " + printable(id, 64));
  return std::move(found->at(0));
}

Result<std::vector<ActionStep>> steps_of(store::Transaction& tx, const std::string& id) {
  const auto rows =
      tx.query("SELECT number, at_ms, step, actor, why, hash FROM action_steps WHERE action=$1 ORDER BY number", {id});
  if (!rows) return rows.error();
  std::vector<ActionStep> out;
  for (const store::Row& r : *rows)
    out.push_back({r.integer(0), instant_from_ms(r.integer(1)), r.text(2), r.text(3), r.text(4), r.text(5)});
  return out;
}

std::string action_cursor(const fleet::Action& a) { return fmt::format("{}.{}", to_ms(a.created), a.id); }

Result<std::vector<fleet::Action>> list_actions(store::Transaction& tx, const ActionFilter& filter,
                                                const std::string& before, std::int64_t limit) {
  std::int64_t before_ms = std::numeric_limits<std::int64_t>::max();
  std::string before_id;
  if (!before.empty()) {
    const auto [end, failed] = std::from_chars(before.data(), before.data() + before.size(), before_ms);
    if (failed != std::errc() || end == before.data() + before.size() || *end != '.')
      return Error(ErrorCode::invalid_argument, "the page token is not one of ours");
    before_id = before.substr(static_cast<std::size_t>(end - before.data()) + 1);
  }
  return actions_of(
      tx.query("SELECT body FROM actions WHERE ($1 = '' OR thing = $1) AND ($2 = '' OR state = $2) AND (created_ms < "
               "$3 OR (created_ms = $3 AND id < $4)) "
               "ORDER BY created_ms DESC, id DESC LIMIT $5",
               {filter.thing, filter.state, before_ms, before_id, std::min(limit, list_max)}));
}

Result<std::vector<fleet::Action>> actions_in(store::Transaction& tx, const std::vector<fleet::ActionState>& states,
                                              std::int64_t limit) {
  std::vector<fleet::Action> out;
  for (const fleet::ActionState state : states) {
    auto some = actions_of(tx.query("SELECT body FROM actions WHERE state=$1 ORDER BY created_ms LIMIT $2",
                                    {std::string(to_string(state)), limit}));
    if (!some) return some.error();
    out.insert(out.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  return out;
}

Result<std::vector<fleet::Action>> actions_after(store::Transaction& tx, fleet::ActionState state,
                                                 const std::string& after, std::int64_t limit) {
  return actions_of(tx.query("SELECT body FROM actions WHERE state=$1 AND id > $2 ORDER BY id LIMIT $3",
                             {std::string(to_string(state)), after, std::min(limit, list_max)}));
}

Result<std::vector<fleet::Hold>> holds_of(store::Transaction& tx, const std::string& thing) {
  const auto rows = tx.query(
      "SELECT action, level, reason, actor, since_ms, lease_end_ms FROM holds WHERE thing=$1 ORDER BY action", {thing});
  if (!rows) return rows.error();
  std::vector<fleet::Hold> out;
  for (const store::Row& r : *rows) {
    const auto level = fleet::parse_hold_level(r.text(1));
    if (!level) return level.error();
    out.push_back(
        {r.text(0), *level, r.text(2), r.text(3), instant_from_ms(r.integer(4)), instant_from_ms(r.integer(5))});
  }
  return out;
}

Status check_chain(store::Transaction& tx, std::int32_t chain) {
  const auto end = tx.query("SELECT position, hash FROM action_chain WHERE chain=$1", {std::int64_t{chain}});
  if (!end) return end.error();
  const std::int64_t length = end->empty() ? 0 : end->at(0).integer(0);
  std::string previous;
  for (std::int64_t position = 1; position <= length; ++position) {
    const auto step = tx.query("SELECT event, hash FROM action_steps WHERE chain=$1 AND position=$2",
                               {std::int64_t{chain}, position});
    if (!step) return step.error();
    if (step->empty()) return Error(ErrorCode::corrupted, fmt::format("chain {}: step {} is missing", chain, position));
    previous = step_hash(previous, step->at(0).text(0));
    if (previous != step->at(0).text(1))
      return Error(ErrorCode::corrupted, fmt::format("chain {}: step {} was changed", chain, position));
  }
  const bool complete = length == 0 || previous == end->at(0).text(1);
  return complete ? Status()
                  : Status(Error(ErrorCode::corrupted, fmt::format("chain {} does not end where it should", chain)));
}

}  // namespace fleetward::repository
