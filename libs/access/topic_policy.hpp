// Which topics a device may use: Device Defender's, of itself alone. Levels are compared whole (dev1 is not dev10).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fleet/access.hpp"

namespace fleetward::access {

enum class TopicUse {
  report_json,  // $aws/things/THING/defender/metrics/json
  report_cbor,  // …/cbor: recognised, not served
  refused,
};
// For a publish by `thing` at that hold level (none: free). A restricted device may not report.
TopicUse publish_use(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view topic);

// Replies to itself only; at restrict, its remediation topic ($aws/things/THING/jobs/notify) only.
bool may_subscribe(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view filter);

std::string accepted_topic(std::string_view thing);
std::string rejected_topic(std::string_view thing);

}  // namespace fleetward::access
