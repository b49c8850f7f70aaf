// Manifests: which versions of profiles, dimensions and custom metrics hold together from now on, onto topic `rules`.
// The only code that writes the table `manifest`; whoever changes a rule calls it in the same store transaction.
#pragma once

#include "repository/outbox.hpp"

namespace fleetward::repository {

// The next manifest, of what the tables say now.
Status publish_manifest(store::Transaction& tx, Instant now);
// Writes manifest 1 when there has been none: detectors wait for one.
Status ensure_manifest(store::Transaction& tx, Instant now);

// A version of a rule, or a manifest: never written again.
Status publish_rule(store::Transaction& tx, const std::string& key, std::string_view type, json::Value data,
                    Instant now);

}  // namespace fleetward::repository
