// From a hold in force to its proof: what gateways said, what was seen, and what follows from it.
#include "crypto/digest.hpp"
#include "repository/action_store.hpp"
#include "repository/certificate_repository.hpp"

namespace fleetward::repository {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr std::size_t evidence_kept = 40;
constexpr std::size_t words_max = 1'000;  // of a reason
constexpr Millis drift_window = std::chrono::hours(1);
constexpr std::int64_t drifts_max = 3;  // in the window: more is no accident, and a person must look
const std::string responder = "responder";

void add_evidence(Action& action, const std::vector<fleet::Evidence>& evidence) {
  action.evidence.insert(action.evidence.end(), evidence.begin(), evidence.end());
  if (action.evidence.size() > evidence_kept)
    action.evidence.erase(action.evidence.begin(), action.evidence.end() - static_cast<std::ptrdiff_t>(evidence_kept));
}

Status set_canary(store::Transaction& tx, const Action& action, std::string_view state) {
  const auto changed =
      tx.execute("UPDATE governor_canaries SET state=$3 WHERE rule=$1 AND action=$2 AND state='waiting'",
                 {fmt::format("{}/{}", action.entry, action.rule), action.id, std::string(state)});
  return changed.ok() ? Status() : Status(changed.error());
}

// What comes after a proven isolation: a revocation that waits for a person.
Status propose_revocation(store::Transaction& tx, const Action& proven, Instant now) {
  Action next = proven;
  next.id = crypto::id_from("action", "then-revoke", proven.id);
  next.level = fleet::HoldLevel::revoke;
  next.state = ActionState::awaiting_approval;
  next.wait_reason = "revocation is a person's decision";
  next.follows = proven.id;
  next.access_version = 0;
  next.approved_by.clear();
  next.evidence.clear();
  next.stopwatch.decided = next.stopwatch.enforced = next.stopwatch.verified = Instant();
  next.created = next.updated = now;
  const auto existing = tx.query("SELECT 1 FROM actions WHERE id=$1", {next.id});
  if (!existing) return existing.error();
  if (!existing->empty()) return {};
  if (const Status made = detail::insert_action(tx, next); !made) return made;
  return detail::record_step(tx, next, "awaiting_approval", responder, next.wait_reason, now);
}

// What should be, written again for everybody who may have lost it: hold and access record, certificate records, CRL.
Status put_in_force_again(store::Transaction& tx, Action& action, const std::string& why, Instant now) {
  if (const Status begun = detail::execute(tx, action, responder, why, now); !begun) return begun;
  if (action.level != fleet::HoldLevel::revoke) return {};
  std::vector<std::string> ids = action.certificates;
  if (ids.empty()) {
    const auto all = certificates_of(tx, action.thing);
    if (!all) return all.error();
    for (const CertificateRow& c : *all) ids.push_back(c.id);
  }
  for (const std::string& id : ids) {
    if (const Status said = say_certificate_again(tx, id, now); !said) return said;
  }
  return ask_for_new_crl(tx);
}

}  // namespace

Status note_enforced(store::Transaction& tx, const std::string& thing, std::int64_t access_version,
                     const fleet::Evidence& evidence, Instant now) {
  const auto rows = tx.query("SELECT id FROM actions WHERE thing=$1 AND state IN ('executing', 'verifying')", {thing});
  if (!rows) return rows.error();
  for (const store::Row& r : *rows) {
    auto action = get_action(tx, r.text(0));
    if (!action) return action.error();
    if (action->access_version > access_version) continue;
    add_evidence(*action, {evidence});
    if (evidence.good && action->stopwatch.enforced == Instant()) action->stopwatch.enforced = evidence.time;
    action->state = ActionState::verifying;
    const std::string_view step = evidence.good ? "enforced" : "not_enforced";
    if (const Status s = detail::record_step(tx, *action, step, evidence.where, evidence.text, now); !s) return s;
  }
  return {};
}

Result<Action> mark_verified(store::Transaction& tx, const std::string& id,
                             const std::vector<fleet::Evidence>& evidence, const Policy& policy, Instant now) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  if (action->state != ActionState::verifying && action->state != ActionState::executing)
    return action;  // released meanwhile
  add_evidence(*action, evidence);
  action->state = ActionState::in_effect;
  action->wait_reason.clear();
  // The first time each: the stopwatch is of the response. What nobody has said was in force is so by now.
  if (action->stopwatch.enforced == Instant()) action->stopwatch.enforced = now;
  if (action->stopwatch.verified == Instant()) action->stopwatch.verified = now;
  if (const Status s =
          detail::record_step(tx, *action, "verified", responder, evidence.empty() ? "" : evidence.back().text, now);
      !s)
    return s.error();
  if (const Status s = set_canary(tx, *action, "proven"); !s) return s.error();
  const respond::PlaybookEntry* entry = respond::entry_named(policy.playbook, action->entry);
  if (entry != nullptr && entry->then_revoke && action->level != fleet::HoldLevel::revoke) {
    if (const Status s = propose_revocation(tx, *action, now); !s) return s.error();
  }
  return action;
}

Result<Action> mark_failed(store::Transaction& tx, const std::string& id, const std::string& why,
                           const std::vector<fleet::Evidence>& evidence, Instant now) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  if (fleet::is_closed(action->state)) return action;
  add_evidence(*action, evidence);
  action->state = ActionState::failed;
  action->wait_reason = why.substr(0, words_max);
  if (const Status s = detail::record_step(tx, *action, "failed", responder, action->wait_reason, now); !s)
    return s.error();
  if (const Status s = set_canary(tx, *action, "failed"); !s) return s.error();
  return action;
}

Result<bool> mark_waiting(store::Transaction& tx, const std::string& id, const std::string& why, Instant now) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  const bool is_open = action->state == ActionState::verifying || action->state == ActionState::executing;
  const std::string words = why.substr(0, words_max);
  if (!is_open || action->wait_reason == words) return false;
  action->state = ActionState::verifying;
  action->wait_reason = words;
  if (const Status s = detail::record_step(tx, *action, "waiting", responder, words, now); !s) return s.error();
  return true;
}

Result<Action> mark_drifted(store::Transaction& tx, const std::string& id, const std::string& why,
                            const std::vector<fleet::Evidence>& evidence, Instant now) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  if (action->state != ActionState::in_effect) return action;  // released meanwhile
  const auto drifts = tx.query("SELECT count(*) FROM action_steps WHERE action=$1 AND step='drifted' AND at_ms > $2",
                               {id, to_ms(now - drift_window)});
  if (!drifts) return drifts.error();
  if (drifts->at(0).integer(0) >= drifts_max)
    return mark_failed(tx, id, "it does not stay in effect: " + why, evidence, now);
  add_evidence(*action, evidence);
  action->state = ActionState::verifying;
  const std::string words = why.substr(0, words_max);
  if (const Status s = detail::record_step(tx, *action, "drifted", responder, words, now); !s) return s.error();
  if (const Status s = put_in_force_again(tx, *action, "what should be is written again", now); !s) return s.error();
  return action;
}

}  // namespace fleetward::repository
