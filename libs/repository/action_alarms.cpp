// What becomes of actions whose alarm has ended.
#include "repository/action_store.hpp"

namespace fleetward::repository {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr std::size_t step_words_max = 1'000;
const std::string responder = "responder";

bool holds(const std::vector<std::string>& ids, const std::string& id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// With so many violations there were more than it lists: they may go on.
bool all_are_listed(const Action& a) { return a.violations.size() < detail::violations_joined_max; }

Status note_end(store::Transaction& tx, Action& a, const fleet::ViolationEvent& v, Instant now) {
  const bool invalidated = v.type == fleet::ViolationEventType::alarm_invalidated;
  (invalidated ? a.invalidated : a.cleared).push_back(v.violation_id);
  const std::string why = fmt::format("the alarm {}: {}", invalidated ? "was invalidated" : "has cleared",
                                      v.reason.empty() ? fmt::format("{}/{}", v.profile, v.behavior.name) : v.reason)
                              .substr(0, step_words_max);
  const bool waits = a.state == ActionState::proposed || a.state == ActionState::awaiting_approval;
  if (waits && all_are_listed(a) && a.invalidated.size() == a.violations.size()) {
    a.state = ActionState::refused;
    a.wait_reason.clear();
    return detail::record_step(tx, a, "refused", responder, why, now);
  }
  if (a.state == ActionState::proposed && a.mode != "observe" && detail::alarms_are_over(a)) {
    a.state = ActionState::awaiting_approval;
    a.wait_reason = detail::alarm_has_cleared;
    return detail::record_step(tx, a, "awaiting_approval", responder, why, now);
  }
  return detail::record_step(tx, a, invalidated ? "alarm_invalidated" : "alarm_cleared", responder, why, now);
}

}  // namespace

namespace detail {

bool alarms_are_over(const Action& a) {
  return all_are_listed(a) && !a.violations.empty() && a.cleared.size() + a.invalidated.size() == a.violations.size();
}

Result<std::optional<Action>> end_alarm(store::Transaction& tx, const fleet::ViolationEvent& v, Instant now) {
  const auto rows = tx.query(
      "SELECT id FROM actions WHERE thing=$1 AND state NOT IN ('released', 'refused', 'failed') ORDER BY created_ms",
      {v.thing});
  if (!rows) return rows.error();
  std::optional<Action> last;
  for (const store::Row& r : *rows) {
    auto action = get_action(tx, r.text(0));
    if (!action) return action.error();
    if (!holds(action->violations, v.violation_id)) continue;
    if (holds(action->cleared, v.violation_id) || holds(action->invalidated, v.violation_id)) continue;
    if (const Status noted = note_end(tx, *action, v, now); !noted) return noted.error();
    last = std::move(*action);
  }
  return last;
}

}  // namespace detail
}  // namespace fleetward::repository
