// authorities register, list, activate, deactivate, delete, crl, code: certificate authorities that are there already.
#include <fmt/format.h>

#include "config/config.hpp"
#include "core/text.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

std::string ca_path(const std::string& id) { return "/cacertificate/" + percent_encode(id); }
std::string own_path(const std::string& id) { return "/v1/authorities/" + percent_encode(id); }

// How often a CRL is read, in seconds; nothing where that is not said.
Result<std::optional<std::int64_t>> every_of(const Invocation& invocation) {
  const std::optional<std::string> text = invocation.option("every");
  if (!text) return std::optional<std::int64_t>();
  const Result<Millis> every = config::parse_duration(*text);
  if (!every || *every < std::chrono::seconds(1) || *every > std::chrono::days(7) || every->count() % 1'000 != 0)
    return Error(ErrorCode::invalid_argument, "--every must be 1s to 7d, such as 15m");
  return std::optional<std::int64_t>(every->count() / 1'000);
}

std::string crl_text(const json::Value& authority, std::string_view member) {
  return authority.contains("crl") ? text_of(authority["crl"], member) : std::string();
}

// What is wrong with its list, in a word or the reason itself.
std::string crl_state(const json::Value& authority) {
  if (!authority.contains("crl")) return "no CRL";
  const json::Value& crl = authority["crl"];
  const std::string error = text_of(crl, "error");
  const bool is_expired = text_of(crl, "expired") == "true";
  if (!error.empty()) return (is_expired ? "EXPIRED, " : "") + std::string("FAILING: ") + error;
  if (is_expired) return "EXPIRED";
  if (text_of(crl, "read") == "0") return "not read yet";
  return text_of(crl, "applied") == "true" ? "in force" : "being read";
}

std::vector<Column> authority_columns() {
  return {member_column("AUTHORITY", "id"),
          member_column("SUBJECT", "subject"),
          member_column("STATUS", "status"),
          time_column("NOT AFTER", "notAfter"),
          {"CRL", [](const json::Value& a) { return crl_text(a, "source"); }},
          {"STATE", crl_state},
          {"ENTRIES", [](const json::Value& a) { return crl_text(a, "entries"); }},
          {"NEXT UPDATE",
           [](const json::Value& a) { return a.contains("crl") ? time_of(a["crl"], "nextUpdate") : std::string(); }},
          member_column("STOPPED", "stoppedCertificates")};
}

ExitCode show(Invocation& invocation, ApiClient& api, const std::string& id) {
  const Result<json::Value> authority = api.get(own_path(id));
  if (!authority) return invocation.fail(authority.error());
  return print_object(invocation, *authority, authority_columns());
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(
      invocation, api,
      {.target = "/v1/authorities",
       .member = "authorities",
       .columns = authority_columns(),
       .when_empty = "No authorities but our own. `fleetward authorities register FILE` takes one in."});
}

Status set_crl(ApiClient& api, const std::string& id, const std::string& source, std::optional<std::int64_t> every) {
  json::Value body = {{"source", source}};
  if (every) body["everySeconds"] = *every;
  const Result<json::Value> set = api.put(own_path(id) + "/crl", body);
  return set.ok() ? Status() : Status(set.error().with_context("its CRL"));
}

// Inactive until its list is known: in one step its revoked certificates would be good for a while.
ExitCode run_register(Invocation& invocation, ApiClient& api) {
  const auto every = every_of(invocation);
  if (!every) return invocation.usage_error(every.error().message);
  const Result<std::string> pem = read_file(invocation.arguments()[0]);
  if (!pem) return invocation.fail(pem.error());
  const auto info = pki::read_certificate(*pem);
  if (!info) return invocation.fail(info.error());
  json::Value body = {{"caCertificate", *pem}, {"certificateMode", "SNI_ONLY"}};
  if (const auto path = invocation.option("verification")) {
    const Result<std::string> verification = read_file(*path);
    if (!verification) return invocation.fail(verification.error());
    body["certificateMode"] = "DEFAULT";
    body["verificationCertificate"] = *verification;
  }
  const Result<json::Value> made = api.post("/cacertificate", body);
  // Again goes on where it was cut short.
  const bool is_there =
      !made && (made.error().code == ErrorCode::conflict || made.error().code == ErrorCode::already_exists);
  if (!made && !is_there) return invocation.fail(made.error());
  const std::string& id = info->fingerprint;
  const std::optional<std::string> source = invocation.option("crl");
  if (source) {
    if (const Status set = set_crl(api, id, *source, *every); !set) return invocation.fail(set.error());
  }
  if (!invocation.has("inactive")) {
    const Result<json::Value> active = api.call("PUT", ca_path(id) + "?newStatus=ACTIVE");
    if (!active) return invocation.fail(active.error().with_context("activate"));
  }
  if (!source && !is_there)
    invocation.err << "it has no CRL: a certificate that it revokes stays good here (fleetward authorities crl)\n";
  return show(invocation, api, id);
}

ExitCode set_status(Invocation& invocation, ApiClient& api, std::string_view status) {
  const std::string& id = invocation.arguments()[0];
  const Result<json::Value> set = api.call("PUT", fmt::format("{}?newStatus={}", ca_path(id), status));
  if (!set) return invocation.fail(set.error());
  return show(invocation, api, id);
}

ExitCode run_activate(Invocation& invocation, ApiClient& api) { return set_status(invocation, api, "ACTIVE"); }
ExitCode run_deactivate(Invocation& invocation, ApiClient& api) { return set_status(invocation, api, "INACTIVE"); }

ExitCode run_delete(Invocation& invocation, ApiClient& api) {
  const std::string& id = invocation.arguments()[0];
  const Result<json::Value> gone = api.call("DELETE", ca_path(id));
  if (!gone) return invocation.fail(gone.error());
  if (invocation.wants_json()) invocation.out << json::dump({{"deleted", id}}) << "\n";
  else invocation.out << fmt::format("deleted {}; its certificates are refused\n", printable(id));
  return ExitCode::ok;
}

ExitCode run_crl(Invocation& invocation, ApiClient& api) {
  const auto every = every_of(invocation);
  if (!every) return invocation.usage_error(every.error().message);
  const std::vector<std::string>& words = invocation.arguments();
  if ((words.size() == 2) == invocation.has("none")) return invocation.usage_error("give its place, or --none");
  const Status set = set_crl(api, words[0], words.size() == 2 ? words[1] : "", *every);
  if (!set) return invocation.fail(set.error());
  return show(invocation, api, words[0]);
}

ExitCode run_code(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> code = api.get("/registrationcode");
  if (!code) return invocation.fail(code.error());
  return print_object(invocation, *code, {member_column("CODE", "registrationCode")});
}

Option every_option() {
  return {"every", "TIME", "how often it is read: 30s, 15m, 6h (default: 15m); a file also when it changes"};
}

Command about_one(std::string_view name, std::string_view summary, std::string_view detail,
                  ExitCode (*run)(Invocation&, ApiClient&)) {
  return {.name = name,
          .arguments = "AUTHORITY",
          .summary = summary,
          .detail = detail,
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run};
}

}  // namespace

Command authorities_register_command() {
  return {
      .name = "authorities register",
      .arguments = "FILE",
      .summary = "Lets devices in whose certificates an authority of yours has issued",
      .detail =
          "FILE is its certificate in PEM: of the one that signed the devices' (the intermediate, where there is "
          "one).\n"
          "Then take the certificates in: fleetward things import. The CRL is an http(s) URL, or the name of a file "
          "in\n"
          "pki.crl_folder (crl in the data folder). Again is no error.\n"
          "example: fleetward authorities register acme.crt --crl http://pki.acme.test/devices.crl --every 15m\n"
          "example: fleetward authorities register acme.crt --crl acme.crl",
      .options = {{"crl", "URL|NAME", "where its CRL is"},
                  every_option(),
                  {"inactive", "", "trust it later: fleetward authorities activate"},
                  {"verification", "FILE",
                   "certificate that it signed over the code of `fleetward authorities code`: proves that its key is "
                   "at hand"}},
      .arguments_min = 1,
      .arguments_max = 1,
      .run_with_api = run_register};
}

Command authorities_list_command() {
  return {.name = "authorities list",
          .summary = "Lists your authorities, and what their CRLs say",
          .detail = "STOPPED counts certificates here that they have revoked or put on hold.",
          .options = {limit_option()},
          .run_with_api = run_list};
}

Command authorities_activate_command() {
  return about_one("authorities activate", "Trusts the certificates of a registered authority", "", run_activate);
}

Command authorities_deactivate_command() {
  return about_one("authorities deactivate", "Trusts an authority no more: its devices are cut, and refused",
                   "example: fleetward authorities deactivate 9c2e...", run_deactivate);
}

Command authorities_delete_command() {
  return about_one("authorities delete",
                   "Forgets an authority that is INACTIVE; its certificates stay, and are refused", "", run_delete);
}

Command authorities_crl_command() {
  return {.name = "authorities crl",
          .arguments = "AUTHORITY [URL|NAME]",
          .summary = "Says where an authority's CRL is",
          .detail =
              "What the last one said stays until the new one is read.\n"
              "example: fleetward authorities crl 9c2e... http://pki.acme.test/devices.crl --every 1h",
          .options = {every_option(), {"none", "", "read none any more"}},
          .arguments_min = 1,
          .arguments_max = 2,
          .run_with_api = run_crl};
}

Command authorities_code_command() {
  return {.name = "authorities code",
          .summary = "Shows the registration code of this installation",
          .detail = "The common name of a verification certificate: see authorities register --verification.",
          .run_with_api = run_code};
}

}  // namespace fleetward::program
