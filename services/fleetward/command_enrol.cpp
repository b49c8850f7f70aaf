// things enrol: a key made here, a certificate for it from the authority, both in a folder named after the thing.
#include <fmt/format.h>
#include <unistd.h>

#include "core/text.hpp"
#include "crypto/key.hpp"
#include "fleet/names.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/listing.hpp"
#include "services/fleetward/progress.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t count_max = 1'000'000;

struct Plan {
  std::vector<std::string> names;
  json::Value groups = json::Value::array();
  std::string out;
};

// prefix + 1..count, with leading zeros so that they sort: cam-001, cam-002, …
std::vector<std::string> numbered_names(std::string_view prefix, std::int64_t count) {
  const std::size_t width = std::max<std::size_t>(3, std::to_string(count).size());
  std::vector<std::string> names;
  for (std::int64_t i = 1; i <= count; ++i) names.push_back(fmt::format("{}{:0{}}", prefix, i, width));
  return names;
}

Result<Plan> make_plan(const Invocation& invocation) {
  const auto usage = [](std::string_view what) { return Error(ErrorCode::invalid_argument, std::string(what)); };
  Plan plan;
  plan.names = invocation.arguments();
  const Result<std::int64_t> count = invocation.integer_option("count", 0, 1, count_max);
  if (!count) return count.error();
  const std::optional<std::string> prefix = invocation.option("prefix");
  if ((*count > 0) != prefix.has_value()) return usage("--count and --prefix go together");
  if (*count > 0) {
    if (!plan.names.empty()) return usage("either names, or --count and --prefix");
    plan.names = numbered_names(*prefix, *count);
  }
  if (plan.names.empty()) return usage("DEVICE is missing (or --count and --prefix)");
  const std::optional<std::string> out = invocation.option("out");
  if (!out) return usage("--out is missing: the folder for keys and certificates");
  plan.out = *out;
  for (const std::string& name : plan.names) {
    // Also what keeps a name from leaving the folder.
    if (!fleet::is_valid_name(name)) return usage("a name has 1 to 128 of a-z A-Z 0-9 : _ -");
  }
  const std::string groups = invocation.option("group").value_or("");
  for (const std::string_view group : split(groups, ',')) {
    if (!group.empty()) plan.groups.push_back(std::string(group));
  }
  return plan;
}

// The key of an earlier try that was cut short is used again: the same request then has the same answer.
Result<crypto::PrivateKey> key_in(const std::string& path) {
  if (file_exists(path)) {
    const Result<std::string> pem = read_file(path);
    if (!pem) return pem.error();
    auto key = crypto::PrivateKey::from_pem(*pem);
    if (!key) return key.error().with_context(path);
    return key;
  }
  auto key = crypto::PrivateKey::generate();
  if (!key) return key;
  if (const Status written = write_file(path, key->to_pem(), Secrecy::secret); !written) return written.error();
  return key;
}

// True when a certificate was made, false when the device had one.
Result<bool> enrol(ApiClient& api, const Plan& plan, const std::string& name) {
  const std::string folder = plan.out + "/" + name;
  const std::string certificate_path = folder + "/cert.pem";
  if (file_exists(certificate_path) && file_exists(folder + "/key.pem")) return false;
  if (const Status made = make_folder(folder); !made) return made.error();
  const Result<crypto::PrivateKey> key = key_in(folder + "/key.pem");
  if (!key) return key.error();
  const Result<std::string> request = pki::make_signing_request(*key, name);
  if (!request) return request.error();
  const json::Value body = {{"csr", *request}, {"groups", plan.groups}};
  const Result<json::Value> answer = api.post("/v1/things/" + percent_encode(name) + "/enrol", body);
  if (!answer) return answer.error();
  const std::string certificate = text_of(*answer, "certificatePem");
  const Result<pki::CertificateInfo> info = pki::read_certificate(certificate);
  if (!info) return info.error().with_context("the authority's answer");
  if (const Status written = write_file(certificate_path, certificate, Secrecy::open); !written) return written.error();
  return true;
}

ExitCode run_enrol(Invocation& invocation, ApiClient& api) {
  const Result<Plan> plan = make_plan(invocation);
  if (!plan) return invocation.usage_error(plan.error().message);
  const bool shows_bar = plan->names.size() > 1;
  Progress progress(invocation.err, isatty(STDERR_FILENO) != 0, "enrolled", plan->names.size());
  std::size_t made = 0;
  for (std::size_t i = 0; i < plan->names.size(); ++i) {
    const Result<bool> enrolled = enrol(api, *plan, plan->names[i]);
    if (!enrolled) {
      progress.finish();
      return invocation.fail(enrolled.error().with_context(fmt::format(
          "{} of {} are enrolled; the same command goes on from there. {}", i, plan->names.size(), plan->names[i])));
    }
    if (*enrolled) ++made;
    if (shows_bar) progress.set(i + 1);
  }
  progress.finish();
  if (invocation.wants_json()) {
    invocation.out << json::dump({{"enrolled", made}, {"already", plan->names.size() - made}, {"out", plan->out}})
                   << "\n";
  } else {
    invocation.out << fmt::format("enrolled {} ({} were before); keys and certificates are in {}\n", made,
                                  plan->names.size() - made, printable(plan->out));
  }
  return ExitCode::ok;
}

}  // namespace

Command things_enrol_command() {
  return {.name = "things enrol",
          .arguments = "[DEVICE...]",
          .summary = "Makes keys here and certificates at the authority, for one device or many",
          .detail =
              "Private keys never leave this machine. What was cut short goes on where it was; who is enrolled is left "
              "alone.\n"
              "example: fleetward things enrol cam-001 --group cameras --out ./devices\n"
              "example: fleetward things enrol --count 200 --prefix cam- --group cameras --out ./devices",
          .options = {{"out", "DIR", "gets a folder a device, with key.pem and cert.pem"},
                      {"group", "G[,..]", "groups that the devices join; made when missing"},
                      {"count", "N", "so many devices, numbered"},
                      {"prefix", "P", "what their names begin with"}},
          .arguments_max = 10'000,
          .run_with_api = run_enrol};
}

}  // namespace fleetward::program
