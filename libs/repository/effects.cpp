#include "repository/effects.hpp"

namespace fleetward::repository {

Result<bool> first_time(store::Transaction& tx, std::string_view consumer, std::string_view id, Instant now) {
  const auto done = tx.execute("INSERT INTO effects(consumer, id, at_ms) VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
                               {std::string(consumer), std::string(id), to_ms(now)});
  if (!done) return done.error();
  return *done == 1;
}

Result<std::int64_t> prune_effects(store::Transaction& tx, std::string_view consumer, Instant now, Millis keep,
                                   std::int64_t rows_max) {
  return tx.execute(
      "DELETE FROM effects WHERE consumer=$1 AND id IN (SELECT id FROM effects WHERE consumer=$1 AND at_ms < $2 LIMIT "
      "$3)",
      {std::string(consumer), to_ms(now - keep), rows_max});
}

}  // namespace fleetward::repository
