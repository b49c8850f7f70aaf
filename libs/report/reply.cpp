#include "report/reply.hpp"

#include "core/text.hpp"
#include "json/json.hpp"

namespace fleetward::report {
namespace {

std::string encode(const json::Value& reply, Encoding encoding) {
  if (encoding == Encoding::json) return json::dump(reply);
  std::string bytes;
  json::Value::to_cbor(reply, bytes);
  return bytes;
}

}  // namespace

std::string accepted_reply(std::string_view thing, const Report& report, Instant now, Encoding encoding) {
  json::Value reply = {
      {"thingName", thing}, {"reportId", report.report_id}, {"status", "ACCEPTED"}, {"timestamp", to_ms(now)}};
  if (report.problem_count > 0) {
    json::Value problems = json::Value::array();
    for (const CustomMetricProblem& p : report.problems) {
      problems.push_back({{"name", printable(p.name, 128)}, {"reason", printable(p.reason)}});
    }
    reply["statusDetails"] = {{"customMetricProblems", std::move(problems)},
                              {"customMetricProblemCount", report.problem_count}};
  }
  return encode(reply, encoding);
}

std::string rejected_reply(std::string_view thing, std::optional<std::int64_t> report_id, std::string_view code,
                           std::string_view message, Instant now, Encoding encoding) {
  json::Value reply = {{"thingName", thing},
                       {"status", "REJECTED"},
                       {"statusDetails", {{"ErrorCode", code}, {"ErrorMessage", printable(message, 512)}}},
                       {"timestamp", to_ms(now)}};
  if (report_id) reply["reportId"] = *report_id;
  return encode(reply, encoding);
}

}  // namespace fleetward::report
