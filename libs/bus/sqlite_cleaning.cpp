#include "bus/sqlite_cleaning.hpp"

#include <fmt/format.h>

#include <vector>

namespace fleetward::bus {

// The oldest rows, as long as each is older than `before`: the table has no index on time and needs none.
Result<CleanStep> expire(Connection& writer, const std::string& table, Instant before, std::size_t rows_max) {
  CleanStep step;
  std::int64_t last = -1;
  {
    auto s = writer.statement(fmt::format("SELECT offset, append_ms FROM {} ORDER BY offset LIMIT ?1", table));
    if (!s) return s.error();
    const ResetLater reset{**s};
    (*s)->bind(1, static_cast<std::int64_t>(rows_max));
    for (;;) {
      const auto row = (*s)->step();
      if (!row) return row.error();
      if (!*row || (*s)->integer(1) >= to_ms(before)) break;
      last = (*s)->integer(0);
      ++step.removed;
    }
  }
  if (step.removed == 0) return step;
  auto s = writer.statement(fmt::format("DELETE FROM {} WHERE offset <= ?1", table));
  if (!s) return s.error();
  (*s)->bind(1, last);
  if (const Status done = (*s)->run(); !done) return done.error();
  step.more = static_cast<std::size_t>(step.removed) == rows_max;
  return step;
}

// Walks the table from the last step's end on; at the first row that is too young it starts over with the next pass.
Result<CleanStep> compact(Connection& writer, const std::string& table, std::int64_t& cursor, Instant before,
                          std::size_t rows_max) {
  std::vector<std::int64_t> doomed;
  CleanStep step;
  {
    auto s =
        writer.statement(fmt::format("SELECT o.offset, o.append_ms, o.value IS NULL, "
                                     "EXISTS(SELECT 1 FROM {0} n WHERE n.key = o.key AND n.offset > o.offset), "
                                     "EXISTS(SELECT 1 FROM {0} n WHERE n.key = o.key AND n.offset < o.offset) "
                                     "FROM {0} o WHERE o.offset >= ?1 ORDER BY o.offset LIMIT ?2",
                                     table));
    if (!s) return s.error();
    const ResetLater reset{**s};
    (*s)->bind(1, cursor);
    (*s)->bind(2, static_cast<std::int64_t>(rows_max));
    std::size_t looked_at = 0;
    for (;;) {
      const auto row = (*s)->step();
      if (!row) return row.error();
      if (!*row || (*s)->integer(1) >= to_ms(before)) break;
      ++looked_at;
      const std::int64_t offset = (*s)->integer(0);
      const bool replaced = (*s)->integer(3) != 0;
      const bool last_word = (*s)->integer(2) != 0 && (*s)->integer(4) == 0;
      if (replaced || last_word) doomed.push_back(offset);
      cursor = offset + 1;
    }
    step.more = looked_at == rows_max;
  }
  if (!step.more) cursor = 0;
  if (doomed.empty()) return step;
  const Status removed = writer.in_transaction([&]() -> Status {
    auto s = writer.statement(fmt::format("DELETE FROM {} WHERE offset = ?1", table));
    if (!s) return s.error();
    for (const std::int64_t offset : doomed) {
      (*s)->bind(1, offset);
      if (const Status done = (*s)->run(); !done) return done;
    }
    return {};
  });
  if (!removed) return removed.error();
  step.removed = static_cast<std::int64_t>(doomed.size());
  return step;
}

}  // namespace fleetward::bus
