// Dead letters for people to look through, and to have replayed: the newest of the last days.
//
// The historian alone writes letters; the API asks for a replay, the collector that has the letter's source does it and
// says what came of it. Functions run inside a store transaction; errors are the transaction's unless said otherwise.
// Limits: letters_max letters, for dead_letters_kept; lists page by page_max.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/dead_letter.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

inline constexpr std::string_view replays_channel = "dead-letter-replays";  // store channel that wakes collectors
constexpr Millis dead_letters_kept{std::int64_t{30} * 24 * 3'600'000};
constexpr std::int64_t letters_max = 20'000;
constexpr std::int64_t letters_page_max = 250;

namespace replay_state {
inline constexpr std::string_view none = "none";
inline constexpr std::string_view waiting = "waiting";  // a collector is to do it
inline constexpr std::string_view taken = "taken";      // it is a report now; else the reason why it is none again
}  // namespace replay_state

struct StoredLetter {
  fleet::DeadLetter letter;
  std::string replay{replay_state::none};
  std::string replay_why;    // of a replay that failed
  std::string replay_by;     // who asked for it
  Instant replay_time;       // when it was asked for, or done
  std::int64_t replays = 0;  // that were done
};

struct LetterFilter {
  std::optional<std::string> source, reason, replay;
};
struct LetterCursor {
  std::int64_t received_ms = 0;
  std::string id;
};

// True when it was new; a repeat changes nothing.
Result<bool> record_dead_letter(store::Transaction& tx, const fleet::DeadLetter& letter);
// Newest first, those after `after`.
Result<std::vector<StoredLetter>> list_dead_letters(store::Transaction& tx, const LetterFilter& filter,
                                                    std::int64_t limit, const std::optional<LetterCursor>& after = {});
Result<StoredLetter> get_dead_letter(store::Transaction& tx, const std::string& id);  // not_found

// Of one that waits, or was taken, nothing is asked again: it is returned as it is. failed_precondition: it is no
// letter of a collector's source, or it was cut short.
Result<StoredLetter> ask_for_replay(store::Transaction& tx, const std::string& id, const std::string& actor,
                                    Instant now);
// Those that wait, of these sources, the first asked for first.
Result<std::vector<StoredLetter>> waiting_replays(store::Transaction& tx, const std::vector<std::string>& sources,
                                                  std::int64_t limit);
// `state`: taken, or the reason why it could not be used again. Of one that does not wait nothing is noted.
Status note_replay(store::Transaction& tx, const std::string& id, std::string_view state, const std::string& why,
                   Instant now);

// Forgets letters older than dead_letters_kept, and the oldest beyond letters_max; at most `rows_max` a call; how many.
Result<std::int64_t> prune_dead_letters(store::Transaction& tx, Instant now, std::int64_t rows_max = 1'000,
                                        std::int64_t keep_max = letters_max);

}  // namespace fleetward::repository
