// Table of dead letters and of their replays. Owner: dead_letter_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_dead_letters = R"(
CREATE TABLE dead_letters(
  id TEXT PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL, received_ms BIGINT NOT NULL, body TEXT NOT NULL,
  replay TEXT NOT NULL, replay_why TEXT NOT NULL, replay_by TEXT NOT NULL, replay_ms BIGINT NOT NULL,
  replays BIGINT NOT NULL);
CREATE INDEX dead_letters_received ON dead_letters(received_ms, id);
CREATE INDEX dead_letters_source ON dead_letters(source, received_ms, id);
CREATE INDEX dead_letters_replay ON dead_letters(replay, replay_ms, id);
)";

}  // namespace fleetward::repository
