// Manifests: which versions of profiles, dimensions and custom metrics hold together from now on, onto topic `rules`.
// The only code that writes the table `manifest`; whoever changes a rule calls it in the same store transaction.
#pragma once

#include <functional>
#include <string>

#include "repository/outbox.hpp"

namespace fleetward::repository {

// The next manifest, of what the tables say now.
Status publish_manifest(store::Transaction& tx, Instant now);
// Writes manifest 1 when there has been none: detectors wait for one.
Status ensure_manifest(store::Transaction& tx, Instant now);

// The first number from `number` on that no rule on the bus has: a store that came from a backup does not remember all
// of them, and what a number once meant stays. `key_of` names the rule of a number.
Result<std::int64_t> first_unsaid(store::Transaction& tx, std::int64_t number,
                                  const std::function<std::string(std::int64_t)>& key_of);
// A version of a rule, or a manifest: never written again.
Status publish_rule(store::Transaction& tx, const std::string& key, std::string_view type, json::Value data,
                    Instant now);

}  // namespace fleetward::repository
