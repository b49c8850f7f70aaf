// incidents list, show; certificates list, show, revoke; metrics custom.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

// "cam-018 (in_effect), cam-018 (failed)"
std::string members(const json::Value& incident) {
  std::string out;
  const auto list = incident.find("members");
  if (list == incident.end() || !list->is_array()) return out;
  for (const json::Value& member : *list) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} ({})", text_of(member, "thing"), text_of(member, "state"));
  }
  return out;
}

std::vector<Column> incident_columns() {
  return {member_column("ID", "id"),       time_column("OPENED", "windowStart"),
          member_column("STATE", "state"), member_column("SEVERITY", "severity"),
          member_column("TITLE", "title"), {"MEMBERS", members}};
}

ExitCode run_incidents_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/incidents" + query_of(invocation, {"state"}),
                        .member = "incidents",
                        .columns = incident_columns(),
                        .when_empty = "No incidents."});
}

ExitCode run_incidents_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> incident = api.get("/v1/incidents/" + percent_encode(invocation.arguments()[0]));
  if (!incident) return invocation.fail(incident.error());
  std::vector<Column> columns = incident_columns();
  columns.push_back(member_column("TEXT", "text"));
  return print_object(invocation, *incident, columns);
}

std::vector<Column> certificate_columns() {
  return {member_column("CERTIFICATE", "certificateId"), member_column("THING", "thing"),
          member_column("STATUS", "status"), member_column("SERIAL", "serial"), time_column("NOT AFTER", "notAfter")};
}

ExitCode run_certificates_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/certificates" + query_of(invocation, {"thing"}),
                        .member = "certificates",
                        .columns = certificate_columns(),
                        .when_empty = "No certificates."});
}

ExitCode run_certificates_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> certificate = api.get("/v1/certificates/" + percent_encode(invocation.arguments()[0]));
  if (!certificate) return invocation.fail(certificate.error());
  return print_object(invocation, *certificate, certificate_columns());
}

ExitCode run_certificates_revoke(Invocation& invocation, ApiClient& api) {
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: a revocation is for good");
  const Result<json::Value> answer =
      api.post("/v1/certificates/" + percent_encode(invocation.arguments()[0]) + "/revoke", {{"reason", *reason}});
  if (!answer) return invocation.fail(answer.error());
  return print_object(invocation, *answer,
                      {member_column("ACTION", "id"), member_column("THING", "thing"), member_column("LEVEL", "level"),
                       member_column("STATE", "state")});
}

ExitCode run_metrics_custom(Invocation& invocation, ApiClient& api) {
  const std::vector<std::string>& words = invocation.arguments();
  if (words.empty()) {
    return print_listing(invocation, api,
                         {.target = "/v1/custom-metrics",
                          .member = "customMetrics",
                          .columns = {member_column("NAME", "name"), member_column("TYPE", "type"),
                                      member_column("DISPLAY NAME", "displayName")},
                          .when_empty = "No custom metrics."});
  }
  const std::optional<std::string> type = invocation.option("type");
  if (!type) return invocation.usage_error("--type is missing: number, number-list, string-list or ip-address-list");
  json::Value body = {{"type", *type}};
  if (const auto display = invocation.option("display-name")) body["displayName"] = *display;
  const Result<json::Value> metric = api.put("/v1/custom-metrics/" + percent_encode(words[0]), body);
  if (!metric) return invocation.fail(metric.error());
  return print_object(invocation, *metric, {member_column("NAME", "name"), member_column("TYPE", "type")});
}

}  // namespace

Command incidents_list_command() {
  return {.name = "incidents list",
          .summary = "Lists incidents: what people were paged for",
          .options = {{"state", "open|closed", "only those"}, limit_option()},
          .run_with_api = run_incidents_list};
}

Command incidents_show_command() {
  return {.name = "incidents show",
          .arguments = "INCIDENT",
          .summary = "Shows one incident with its devices",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_incidents_show};
}

Command certificates_list_command() {
  return {.name = "certificates list",
          .summary = "Lists certificates and what they are worth",
          .options = {{"thing", "DEVICE", "only this thing's"}, limit_option()},
          .run_with_api = run_certificates_list};
}

Command certificates_show_command() {
  return {.name = "certificates show",
          .arguments = "CERTIFICATE",
          .summary = "Shows one certificate, by its id (SHA-256 fingerprint)",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_certificates_show};
}

Command certificates_revoke_command() {
  return {.name = "certificates revoke",
          .arguments = "CERTIFICATE",
          .summary = "Revokes a certificate for good: gateway, CRL and OCSP",
          .detail = "example: fleetward certificates revoke 9c2e... --reason \"key was copied\"",
          .options = {{"reason", "TEXT", "why; kept with the decision"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_certificates_revoke};
}

Command metrics_custom_command() {
  return {.name = "metrics custom",
          .arguments = "[NAME]",
          .summary = "Lists custom metrics; with NAME and --type, defines one",
          .detail =
              "A report's custom metric is judged only once it is defined.\n"
              "example: fleetward metrics custom cpu-usage --type number",
          .options = {{"type", "TYPE", "number, number-list, string-list or ip-address-list; fixed for good"},
                      {"display-name", "TEXT", "for people"},
                      limit_option()},
          .arguments_max = 1,
          .run_with_api = run_metrics_custom};
}

}  // namespace fleetward::program
