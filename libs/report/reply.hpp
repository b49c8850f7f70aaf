// The replies to a report, in the encoding in which it came (reference section 1.5).
//
// Pure. A reply holds at most problems_max custom metric problems, and each text in it is cut, so its size is bounded.
#pragma once

#include <optional>
#include <string>

#include "core/time.hpp"
#include "report/parser.hpp"

namespace fleetward::report {

namespace reply_code {
constexpr std::string_view invalid_payload = "InvalidPayload";  // the one code that Device Defender documents
constexpr std::string_view throttled = "Throttled";
}  // namespace reply_code

// {thingName, reportId, status: ACCEPTED, timestamp}; with custom metrics that were not taken also
// statusDetails: {customMetricProblems: [{name, reason}], customMetricProblemCount}.
std::string accepted_reply(std::string_view thing, const Report& report, Instant now,
                           Encoding encoding = Encoding::json);

// {thingName, reportId (when known), status: REJECTED, statusDetails: {ErrorCode, ErrorMessage}, timestamp}
std::string rejected_reply(std::string_view thing, std::optional<std::int64_t> report_id, std::string_view code,
                           std::string_view message, Instant now, Encoding encoding = Encoding::json);

}  // namespace fleetward::report
