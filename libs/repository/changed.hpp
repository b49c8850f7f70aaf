// What a statement has come to, where the number of rows that it changed says nothing.
#pragma once

#include "core/result.hpp"

namespace fleetward::repository {

inline Status done(const Result<std::int64_t>& changed) { return changed.ok() ? Status() : Status(changed.error()); }

}  // namespace fleetward::repository
