// Conditions of the governor and its log. Private to governor_repository and governor_store.
#pragma once

#include "repository/governor_repository.hpp"

namespace fleetward::repository::detail {

inline constexpr std::string_view ungrouped = "(no group)";  // no group's name has a space

Result<std::int64_t> count_of(const Result<store::Rows>& rows);
// How much of the group's caps is used, `thing` (may be empty) not counted.
Result<respond::GroupUse> use_of(store::Transaction& tx, const std::string& group, const std::string& thing,
                                 Instant now);

// Log and topic have it once for as long as it lasts.
Status raise(store::Transaction& tx, const fleet::GovernorCondition& condition);
// False: there was none.
Result<bool> end(store::Transaction& tx, fleet::GovernorKind kind, const std::string& subject, const std::string& actor,
                 const std::string& why, Instant now);
Status tell(store::Transaction& tx, fleet::GovernorEvent event);

}  // namespace fleetward::repository::detail
