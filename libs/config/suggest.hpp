// "Did you mean …?": the nearest of some known names to one that was mistyped. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fleetward::config {

// The candidate that takes the fewest edits (insert, delete, replace, swap of neighbours; case counts for nothing) to
// come from `name`; empty when none is near enough to be what was meant (more than a third of the letters differ).
// Names longer than 64 bytes have no neighbour.
std::string nearest_name(std::string_view name, const std::vector<std::string>& candidates);

// " (did you mean 'X'?)", or nothing.
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace fleetward::config
