// Dimensions: the only code that writes their table. All functions run inside a store transaction. Every change writes
// the dimension's new immutable version and a manifest onto topic `rules`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/dimension.hpp"
#include "repository/manifest.hpp"

namespace fleetward::repository {

struct DimensionRow {
  fleet::Dimension dimension;
  Instant created;
  Instant modified;
};

// `dimension.version` is ignored. The same again with the same token is no error; else already_exists, as for a token
// that another dimension was made with. resource_exhausted beyond fleet::dimensions_max.
Result<DimensionRow> create_dimension(store::Transaction& tx, fleet::Dimension dimension, const std::string& token,
                                      Instant now);
// not_found; equal filters keep the version. Behaviors that use it are judged by the new one from the manifest on.
Result<DimensionRow> update_dimension(store::Transaction& tx, const std::string& name,
                                      std::vector<std::string> topic_filters, Instant now);
// Makes it what it is to be, whether it is there or not. Idempotent.
Result<DimensionRow> put_dimension(store::Transaction& tx, fleet::Dimension dimension, Instant now);
Result<std::optional<DimensionRow>> find_dimension(store::Transaction& tx, const std::string& name);
Result<DimensionRow> get_dimension(store::Transaction& tx, const std::string& name);  // not_found
Result<std::vector<DimensionRow>> list_dimensions(store::Transaction& tx, const std::string& after, std::int64_t limit);
// failed_precondition while a profile uses it, attached or not; a missing one is no error.
Status delete_dimension(store::Transaction& tx, const std::string& name, Instant now);

}  // namespace fleetward::repository
