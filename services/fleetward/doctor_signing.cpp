// The doctor's look at the keys that access and certificate records are signed with.
#include <fmt/format.h>

#include "services/fleetward/doctor.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/signing_keys.hpp"

namespace fleetward::program {

void examine_signing(const Settings& settings, Findings& findings) {
  findings.begin("signing");
  const std::string& folder = settings.installation.data_dir;
  const bool is_one_process = settings.bus.is_embedded();
  if (!is_one_process && !file_exists(signers_path(folder))) {
    return findings.ok("signers.json", "not here: only a detector or cohorts can run on this folder");
  }
  const auto signers = read_signers(folder);
  if (!signers) {
    return findings.fail("signers.json", signers.error().message,
                         "run `fleetward init` with the same settings; where roles are processes of their own, hand "
                         "them the file of the folder that has their keys");
  }
  findings.ok("signers.json", fmt::format("{} keys", (*signers)->all().size()));
  std::string there;
  for (const std::string_view role : access::signing_roles) {
    const std::string key_path = signing_key_path(folder, role);
    if (!file_exists(key_path)) continue;
    const std::string name = fmt::format("{}.key", role);
    if (const auto usable = read_signer(folder, {std::string(role)}); !usable) {
      findings.fail(name, usable.error().message, "put back the key, or run `fleetward init`, which lists it");
      continue;
    }
    there += (there.empty() ? "" : ", ") + std::string(role);
  }
  if (there.empty() && !is_one_process)
    return findings.ok("keys", "none here: no role that decides runs on this folder");
  if (there.empty()) {
    return findings.warn("keys", "none is here: no role that decides can run on this folder",
                         "run `fleetward init`, unless only gateways and readers run here");
  }
  findings.ok("keys", there + ": listed in signers.json");
}

}  // namespace fleetward::program
