// An action of the responder, from its decision to its proof, and the steps of its life. Topic actions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/access.hpp"

namespace fleetward::fleet {

enum class ActionState {
  proposed,  // decided, not begun: observed only, or waiting for a canary
  awaiting_approval,
  executing,  // the hold is written
  verifying,  // a gateway has said that it is in force
  in_effect,  // proven
  released,
  refused,
  failed,  // proven not to be, or not proven in time
};
std::string_view to_string(ActionState state);
Result<ActionState> parse_action_state(std::string_view text);
// Nothing more happens to it by itself.
bool is_closed(ActionState state);

// When each stage was reached; the epoch: not yet.
struct Stopwatch {
  Instant received, detected, decided, enforced, verified;
  friend bool operator==(const Stopwatch&, const Stopwatch&) = default;
};

// Something that was seen on the way to the proof.
struct Evidence {
  Instant time;
  std::string kind;   // gateway, probe, crl, ocsp
  std::string where;  // gateway instance or URL
  bool good = false;
  std::string text;
  friend bool operator==(const Evidence&, const Evidence&) = default;
};

struct Action {
  std::string id;
  std::string thing;
  std::string thing_id;
  HoldLevel level = HoldLevel::isolate;
  ActionState state = ActionState::proposed;
  std::string entry;  // of the playbook; empty: a person's
  std::string rule;   // profile/behavior
  std::string mode;   // enforce, observe
  std::string severity = "critical";
  std::string reason;  // expected against seen
  std::string wait_reason;
  std::string requested_by;
  std::string approved_by;
  std::vector<std::string> violations;
  std::vector<std::string> cleared;      // those of them that ended because the thing is normal again
  std::vector<std::string> invalidated;  // those that ended because their rule or their thing is no more
  // Fingerprints: a revocation of these alone, which leaves the thing free. Empty: all of the thing's.
  std::vector<std::string> certificates;
  std::vector<std::string> groups;
  bool gateway_seen = false;
  bool claimed = false;  // nobody vouches that the reports behind it are the thing's own: it asks
  Instant lease_end;
  std::int64_t access_version = 0;  // of the record that puts it in force
  std::string follows;              // the action of which this is the next step
  Stopwatch stopwatch;
  std::vector<Evidence> evidence;
  Instant created;
  Instant updated;
  friend bool operator==(const Action&, const Action&) = default;
};
json::Value to_json(const Action& action);
Result<Action> action_from_json(const json::Value& value);

struct ActionEvent {
  std::string id;  // of the action and the step's number
  std::int64_t number = 0;
  std::string step;
  std::string actor;
  std::string why;
  Instant time;
  Action action;  // after the step
  friend bool operator==(const ActionEvent&, const ActionEvent&) = default;
};
json::Value to_json(const ActionEvent& event);
Result<ActionEvent> action_event_from_json(const json::Value& value);

}  // namespace fleetward::fleet
