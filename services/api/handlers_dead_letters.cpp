// Dead letters: what could not be used, why, and having it replayed.
#include "core/text.hpp"
#include "repository/dead_letter_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;
using repository::StoredLetter;

// Texts of others are made printable; as they came they stand in the letter itself.
Value letter_json(const StoredLetter& stored) {
  const fleet::DeadLetter& l = stored.letter;
  Value out = {{"id", l.id},
               {"source", l.source},
               {"reason", l.reason},
               {"why", l.why},
               {"topic", printable(l.topic, 1024)},
               {"key", printable(l.key, 1024)},
               {"payloadBytes", l.payload_bytes},
               {"cut", l.cut},
               {"received", to_ms(l.received)},
               {"replay", stored.replay},
               {"replays", stored.replays}};
  if (l.partition) out["partition"] = *l.partition;
  if (l.offset) out["offset"] = *l.offset;
  if (!stored.replay_why.empty()) out["replayWhy"] = stored.replay_why;
  if (!stored.replay_by.empty()) out["replayBy"] = stored.replay_by;
  if (to_ms(stored.replay_time) != 0) out["replayTime"] = to_ms(stored.replay_time);
  return out;
}

Result<std::optional<repository::LetterCursor>> cursor_of(const std::string& text) {
  if (text.empty()) return std::optional<repository::LetterCursor>();
  const std::vector<std::string_view> parts = split(text, '/');
  const auto ms = parts.size() == 2 ? json::parse(parts[0]) : Result<Value>(ErrorCode::invalid_argument, "");
  if (!ms || !ms->is_number_integer()) return Error(ErrorCode::invalid_argument, "nextToken is not one of this list");
  return std::optional(repository::LetterCursor{ms->get<std::int64_t>(), std::string(parts[1])});
}

std::optional<std::string> given(const Call& call, std::string_view name) {
  const std::string text = call.text(name);
  return text.empty() ? std::nullopt : std::optional(text);
}

Result<Value> list_letters(Call& call) {
  const repository::LetterFilter filter{given(call, "source"), given(call, "reason"), given(call, "replay")};
  return list_page(
      call, by_limit, "deadLetters",
      [&](const std::string& after, std::int64_t limit) -> Result<std::vector<StoredLetter>> {
        const auto cursor = cursor_of(after);
        if (!cursor) return cursor.error();
        return repository::list_dead_letters(call.tx, filter, limit, *cursor);
      },
      [](const StoredLetter& one) { return fmt::format("{}/{}", to_ms(one.letter.received), one.letter.id); },
      [](const StoredLetter& one) -> Result<Value> { return letter_json(one); });
}

Result<Value> show_letter(Call& call) {
  const auto stored = repository::get_dead_letter(call.tx, call.text("id"));
  if (!stored) return stored.error();
  Value out = letter_json(*stored);
  out["contentType"] = printable(stored->letter.content_type, 256);
  out["payloadBase64"] = to_base64(as_bytes(stored->letter.payload));
  out["headers"] = Value::array();
  for (const auto& [name, value] : stored->letter.headers)
    out["headers"].push_back({{"name", printable(name, 256)}, {"value", printable(value, 1024)}});
  return out;
}

// The collector that has its source does it; what came of it is shown then.
Result<Value> replay_letter(Call& call) {
  const auto stored = repository::ask_for_replay(call.tx, call.text("id"), call.who.name, call.now);
  if (!stored) return stored.error();
  return letter_json(*stored);
}

}  // namespace

std::vector<Operation> dead_letter_operations() {
  const Member id{"id", In::path, Kind::text, true, 1, 64};
  const Member limit{"limit", In::query, Kind::integer, false, 1, page_max};
  const Member token{"nextToken", In::query, Kind::text, false, 1, 4096};
  const Member source{"source", In::query, Kind::text, false, 1, 256};
  const Member why{"reason", In::query, Kind::text, false, 1, 64};
  const Member replay{"replay", In::query, Kind::text, false, 1, 64};
  const Member reason{"reason", In::body, Kind::text, true, 1, 1000};
  return {
      {{"v1.dead-letters.list", "GET", "/v1/dead-letters", Right::read, {source, why, replay, limit, token}},
       list_letters},
      {{"v1.dead-letters.show", "GET", "/v1/dead-letters/{id}", Right::read, {id}}, show_letter},
      {{"v1.dead-letters.replay", "POST", "/v1/dead-letters/{id}/replay", Right::operate, {id, reason}}, replay_letter},
  };
}

}  // namespace fleetward::api
