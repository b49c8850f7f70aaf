// Whether behaviors fit the custom metrics that the registry knows; the one place for every call that takes behaviors.
#pragma once

#include <string>
#include <vector>

#include "fleet/profile.hpp"
#include "store/store.hpp"

namespace fleetward::api {

// What is wrong with them, a sentence each; none when they are good. An error is the store's.
// Pure but for the read; linear in behaviors and custom metrics.
Result<std::vector<std::string>> behavior_problems(store::Transaction& tx,
                                                   const std::vector<fleet::Behavior>& behaviors);

// The same as one status: invalid_argument with every sentence.
Status check_behaviors(store::Transaction& tx, const std::vector<fleet::Behavior>& behaviors);

}  // namespace fleetward::api
