// Detection over again, from a copied bus file alone: no store, no wall clock, nothing written.
//
// The violations equal the live ones byte for byte, for the same engine version. Blocking; call it from a thread that
// may wait. Memory grows with the devices and the violations of the file.
#pragma once

#include <string>
#include <vector>

#include "core/result.hpp"

namespace fleetward::detector {

struct TextById {
  std::string id;    // of the event
  std::string text;  // CloudEvents JSON, as on topic violations
};

// What the engine gives for the records of topic devices, in order of id.
// failed_precondition: the log does not begin at its beginning any more, or a mark names rules or snapshots of cohorts
// that are not in the file.
Result<std::vector<TextById>> replay(const std::string& bus_path);

// What stands on topic violations, each id once, in order of id: to compare with. With an error when one id has two
// different texts.
Result<std::vector<TextById>> recorded_violations(const std::string& bus_path);

}  // namespace fleetward::detector
