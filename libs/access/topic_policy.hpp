// Which topics a device may use: Device Defender's, of itself alone. Levels are compared whole (dev1 is not dev10).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fleet/access.hpp"

namespace fleetward::access {

enum class TopicUse {
  report_json,  // $aws/things/THING/defender/metrics/json
  report_cbor,  // …/cbor
  refused,
};
// For a publish by `thing` at that hold level (none: free). A restricted device may not report.
TopicUse publish_use(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view topic);

// Replies to itself only; at restrict, its remediation topic ($aws/things/THING/jobs/notify) only.
bool may_subscribe(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view filter);

// Where a report of that use is answered: the reply is in its encoding.
std::string accepted_topic(std::string_view thing, TopicUse use = TopicUse::report_json);
std::string rejected_topic(std::string_view thing, TopicUse use = TopicUse::report_json);

}  // namespace fleetward::access
