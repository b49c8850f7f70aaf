#include "repository/dead_letter_repository.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace fleetward::repository {
namespace {

constexpr std::string_view columns = "body, replay, replay_why, replay_by, replay_ms, replays, received_ms, id";

Result<StoredLetter> letter_of(const store::Row& row) {
  const auto body = json::parse(row.text(0));
  if (!body) return Error(ErrorCode::corrupted, "dead letter: " + body.error().message);
  auto letter = fleet::dead_letter_from_json(*body);
  if (!letter) return Error(ErrorCode::corrupted, letter.error().message);
  return StoredLetter{std::move(*letter), row.text(1), row.text(2), row.text(3), instant_from_ms(row.integer(4)),
                      row.integer(5)};
}

Result<std::vector<StoredLetter>> letters_of(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<StoredLetter> out;
  for (const store::Row& row : *rows) {
    auto letter = letter_of(row);
    if (!letter) return letter.error();
    out.push_back(std::move(*letter));
  }
  return out;
}

}  // namespace

Result<bool> record_dead_letter(store::Transaction& tx, const fleet::DeadLetter& letter) {
  const auto added = tx.execute(
      "INSERT INTO dead_letters(id, source, reason, received_ms, body, replay, replay_why, replay_by, replay_ms, "
      "replays) VALUES($1, $2, $3, $4, $5, 'none', '', '', 0, 0) ON CONFLICT DO NOTHING",
      {letter.id, letter.source, letter.reason, to_ms(letter.received), json::dump(to_json(letter))});
  if (!added) return added.error();
  return *added == 1;
}

Result<std::vector<StoredLetter>> list_dead_letters(store::Transaction& tx, const LetterFilter& filter,
                                                    std::int64_t limit, const std::optional<LetterCursor>& after) {
  std::string where;
  store::Params params;
  const auto add = [&](std::string_view condition, store::Value value) {
    params.push_back(std::move(value));
    where += fmt::format("{} {}${}", where.empty() ? " WHERE" : " AND", condition, params.size());
  };
  if (filter.source) add("source=", *filter.source);
  if (filter.reason) add("reason=", *filter.reason);
  if (filter.replay) add("replay=", *filter.replay);
  if (after) {
    params.emplace_back(after->received_ms);
    params.emplace_back(after->id);
    const std::size_t n = params.size();
    where += fmt::format("{} (received_ms < ${} OR (received_ms = ${} AND id < ${}))",
                         where.empty() ? " WHERE" : " AND", n - 1, n - 1, n);
  }
  params.emplace_back(std::clamp<std::int64_t>(limit, 1, letters_page_max + 1));
  return letters_of(tx.query(fmt::format("SELECT {} FROM dead_letters{} ORDER BY received_ms DESC, id DESC LIMIT ${}",
                                         columns, where, params.size()),
                             params));
}

Result<StoredLetter> get_dead_letter(store::Transaction& tx, const std::string& id) {
  const auto rows = letters_of(tx.query(fmt::format("SELECT {} FROM dead_letters WHERE id=$1", columns), {id}));
  if (!rows) return rows.error();
  if (rows->empty()) return Error(ErrorCode::not_found, "there is no such dead letter (any more)");
  return rows->front();
}

Result<StoredLetter> ask_for_replay(store::Transaction& tx, const std::string& id, const std::string& actor,
                                    Instant now) {
  auto stored = get_dead_letter(tx, id);
  if (!stored) return stored;
  const std::string& source = stored->letter.source;
  if (!source.starts_with("mqtt/") && !source.starts_with("kafka/"))
    return Error(ErrorCode::failed_precondition,
                 fmt::format("it came from {}: only messages of a collector's sources can be replayed", source));
  if (stored->letter.cut)
    return Error(ErrorCode::failed_precondition, "it was too long to be kept whole: it cannot be replayed");
  if (stored->replay == replay_state::waiting || stored->replay == replay_state::taken) return stored;
  const auto asked =
      tx.execute("UPDATE dead_letters SET replay='waiting', replay_why='', replay_by=$2, replay_ms=$3 WHERE id=$1",
                 {id, actor, to_ms(now)});
  if (!asked) return asked.error();
  tx.notify(replays_channel);
  stored->replay = replay_state::waiting;
  stored->replay_why.clear();
  stored->replay_by = actor;
  stored->replay_time = now;
  return stored;
}

Result<std::vector<StoredLetter>> waiting_replays(store::Transaction& tx, const std::vector<std::string>& sources,
                                                  std::int64_t limit) {
  if (sources.empty()) return std::vector<StoredLetter>();
  store::Params params;
  std::string places;
  for (const std::string& source : sources) {
    params.emplace_back(source);
    places += fmt::format("{}${}", places.empty() ? "" : ", ", params.size());
  }
  params.emplace_back(limit);
  return letters_of(tx.query(
      fmt::format(
          "SELECT {} FROM dead_letters WHERE replay='waiting' AND source IN ({}) ORDER BY replay_ms, id LIMIT ${}",
          columns, places, params.size()),
      params));
}

Status note_replay(store::Transaction& tx, const std::string& id, std::string_view state, const std::string& why,
                   Instant now) {
  const auto noted = tx.execute(
      "UPDATE dead_letters SET replay=$2, replay_why=$3, replay_ms=$4, replays=replays+1 WHERE id=$1 AND "
      "replay='waiting'",
      {id, std::string(state), why, to_ms(now)});
  return noted.ok() ? Status() : Status(noted.error());
}

Result<std::int64_t> prune_dead_letters(store::Transaction& tx, Instant now, std::int64_t rows_max,
                                        std::int64_t keep_max) {
  const auto old = tx.execute(
      "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE received_ms < $1 ORDER BY received_ms "
      "LIMIT $2)",
      {to_ms(now - dead_letters_kept), rows_max});
  if (!old) return old.error();
  const auto rows = tx.query("SELECT COUNT(*) FROM dead_letters");
  if (!rows) return rows.error();
  const std::int64_t over = std::min(rows->front().integer(0) - keep_max, rows_max - *old);
  if (over <= 0) return *old;
  const auto oldest = tx.execute(
      "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY received_ms, id LIMIT $1)", {over});
  if (!oldest) return oldest.error();
  return *old + *oldest;
}

}  // namespace fleetward::repository
