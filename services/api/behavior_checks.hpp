// What a profile has to keep to beyond its shape: behaviors that fit the custom metrics and dimensions of the registry,
// alert targets that are such; the one place for every call that takes them.
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

// {"SNS": {"alertTargetArn": ARN of a topic, "roleArn": ARN of a role}}, or empty. They are kept for clients that are
// written for AWS; nothing is sent there (the notifier pages).
Status check_alert_targets(const json::Value& targets);

// Both, of a whole profile.
Status check_profile(store::Transaction& tx, const fleet::SecurityProfile& profile);

}  // namespace fleetward::api
