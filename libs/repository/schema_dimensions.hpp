// Table of dimensions. Owner: dimension_repository. A deleted one leaves its name and version behind, on which one made
// anew counts on: versions are immutable.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_dimensions = R"(
CREATE TABLE dimensions(
  name TEXT PRIMARY KEY, version BIGINT NOT NULL, body TEXT NOT NULL, token TEXT NOT NULL, deleted BIGINT NOT NULL,
  created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL);
)";

}  // namespace fleetward::repository
