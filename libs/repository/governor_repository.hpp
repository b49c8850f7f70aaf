// The governor's memory: whom was acted on, what holds automatic action back (stop switch, stop file, brakes, caps),
// canaries, and the log of what began, ended and was told it. The only code that writes those tables; each entry of the
// log goes onto topic `actions` too, where the notifier makes a page of it. All functions run inside a store
// transaction.
//
// Limits: hits, actions and proven canaries are kept for their windows, the log for governor_log_kept.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/governor.hpp"
#include "respond/governor.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

constexpr Millis canary_kept = std::chrono::hours(24 * 90);  // a proven rule that was not used for so long is new again
constexpr Millis forged_record_told = std::chrono::hours(24);
constexpr Millis governor_log_kept = std::chrono::hours(24 * 400);

// What holds automatic action back now, by kind and subject.
Result<std::vector<fleet::GovernorCondition>> governor_conditions(store::Transaction& tx);

// The stored switch; a stop file is another condition. Again is no error, and records nothing.
Status set_stop_switch(store::Transaction& tx, bool on, const std::string& actor, const std::string& why, Instant now);
// What a responder sees of its stop file: `words` are those in it, none when it is not there. The condition's subject
// is INSTANCE:PATH.
Status note_stop_file(store::Transaction& tx, const std::string& instance, const std::string& path,
                      const std::optional<std::string>& words, Instant now);
// Lets the brake of a behavior go, or every one of them ("*"). not_found: there is no such brake on.
Status release_brake(store::Transaction& tx, const std::string& behavior, const std::string& actor,
                     const std::string& why, Instant now);
// Lets a rule try again whose first action failed. not_found; failed_precondition: it did not fail.
Status reset_canary(store::Transaction& tx, const std::string& rule, const std::string& actor, const std::string& why,
                    Instant now);
// Somebody else writes to a topic whose records only roles of ours may write. Once for as long as it lasts: a day.
Status note_forged_record(store::Transaction& tx, const std::string& topic, const std::string& gateway,
                          const std::string& why, Instant now);
// Forgets what no window needs any more, and ends the caps that are free again and what is told for a day. A part of it
// a call.
Status tend_governor(store::Transaction& tx, Instant now);

struct CanaryRow {
  std::string rule;  // playbook entry/profile/behavior
  std::string action;
  std::string state;  // waiting, proven, failed
  Instant used;
};
// Failed ones first, then those that wait.
Result<std::vector<CanaryRow>> list_canaries(store::Transaction& tx, std::int64_t limit);
// Groups with things that were acted on within a day, the most used first.
Result<std::vector<respond::GroupUse>> group_uses(store::Transaction& tx, Instant now, std::int64_t limit);
// Newest first.
Result<std::vector<fleet::GovernorEvent>> governor_log(store::Transaction& tx, std::int64_t limit);

}  // namespace fleetward::repository
