// Violations for people to look through: the events of the last days, what is in alarm, and what was said of it.
//
// The historian alone writes events; the API reads, and writes verification states. Functions run inside a store
// transaction; errors are the transaction's unless said otherwise. Limits: lists page by page_max.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/violation.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

constexpr std::int64_t violations_page_max = 250;  // Device Defender's maxResults
constexpr Millis violation_events_kept{std::int64_t{30} * 24 * 3'600'000};

// FALSE_POSITIVE, BENIGN_POSITIVE, TRUE_POSITIVE or UNKNOWN (reference section 4.4).
bool is_verification_state(std::string_view state);

struct StoredViolation {
  fleet::ViolationEvent event;  // of an active violation the one that raised it
  std::string verification_state = "UNKNOWN";
  std::string verification_description;
};

struct ViolationFilter {
  std::optional<std::string> thing;
  std::optional<std::string> profile;
  std::optional<std::string> violation_id;
  std::optional<std::string> criteria;  // STATIC, STATISTICAL, MACHINE_LEARNING
  std::optional<std::string> verification_state;
  bool with_suppressed = true;   // also those of behaviors with suppressAlerts
  std::optional<Instant> from;   // inclusive
  std::optional<Instant> until;  // exclusive
};

// Where the page before ended; lists are newest first.
struct ViolationCursor {
  std::int64_t time_ms = 0;
  std::string id;
};

struct ViolationPage {
  std::vector<StoredViolation> violations;
  std::optional<ViolationCursor> next;  // none: that was all
};

// True when the event was new; a repeat changes nothing.
Result<bool> record_violation_event(store::Transaction& tx, const fleet::ViolationEvent& event);

// `limit` is cut to violations_page_max.
Result<ViolationPage> list_active_violations(store::Transaction& tx, const ViolationFilter& filter, std::int64_t limit,
                                             const std::optional<ViolationCursor>& after = {});
Result<ViolationPage> list_violation_events(store::Transaction& tx, const ViolationFilter& filter, std::int64_t limit,
                                            const std::optional<ViolationCursor>& after = {});
Result<std::int64_t> count_active_violations(store::Transaction& tx, std::string_view thing);

// The log is lost, and with it what detectors knew: says on the bus of each violation in alarm that it has ended for
// that reason, since none of them will. Those that still hold are raised again, under another id.
Status end_violations_of_lost_log(store::Transaction& tx, Instant now);

// not_found: no event of that violation is kept. invalid_argument: the state is not one of the four, or the description
// is longer than 1000 bytes.
Status set_verification(store::Transaction& tx, std::string_view violation_id, std::string_view state,
                        std::string_view description, std::string_view actor, Instant now);

// Forgets events older than `keep`, and what was said of violations of which no event is left. At most `rows_max`
// events a call; how many. What is in alarm stays.
Result<std::int64_t> prune_violation_events(store::Transaction& tx, Instant now, Millis keep = violation_events_kept,
                                            std::int64_t rows_max = 5000);

}  // namespace fleetward::repository
