// Effects once: the ids of what a consumer has already done, kept in the transaction of the effect.
#pragma once

#include <string_view>

#include "core/time.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

// True the first time that `consumer` sees the id: then do the effect in the same transaction. False: it was done.
Result<bool> first_time(store::Transaction& tx, std::string_view consumer, std::string_view id, Instant now);

// Forgets ids older than `keep`, which must be longer than the topic's retention. At most rows_max a call; how many.
Result<std::int64_t> prune_effects(store::Transaction& tx, std::string_view consumer, Instant now, Millis keep,
                                   std::int64_t rows_max = 5000);

}  // namespace fleetward::repository
