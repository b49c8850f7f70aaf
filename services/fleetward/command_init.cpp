// init: a data folder with everything that the server needs before its first start.
#include <fmt/format.h>

#include "auth/credentials.hpp"
#include "core/text.hpp"
#include "crypto/random.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/signing_keys.hpp"
#include "services/pki/authority_files.hpp"

namespace fleetward::program {
namespace {

// Made once. Whoever can read the data folder is the administrator; the server reads both files at its start.
Status make_administrator(const std::string& folder, crypto::Random& random) {
  const std::string token_path = folder + "/admin-token";
  if (!file_exists(token_path)) {
    const Status written = write_file(token_path, auth::new_token(random) + "\n", Secrecy::secret);
    if (!written) return written;
  }
  const std::string key_path = folder + "/admin-aws.json";
  if (file_exists(key_path)) return {};
  return write_file(key_path, auth::to_json_text(auth::new_access_key(random)) + "\n", Secrecy::secret);
}

// Topics and tables are made here, under rights that the roles' processes need not have. Embedded, they are made by who
// starts first.
Status make_shared_backends(const Settings& settings) {
  metrics::Registry unseen;
  if (!settings.store.is_embedded()) {
    const auto store = open_store(settings, unseen);
    if (!store) return store.error();
  }
  if (!settings.bus.is_embedded()) {
    const auto bus = open_bus(settings, unseen);
    if (!bus) return bus.error();
  }
  return {};
}

ExitCode run_init(Invocation& invocation) {
  Settings settings;
  if (const Status loaded = load_settings(invocation, settings); !loaded) {
    return invocation.fail(loaded.error().with_context("configuration"));
  }
  if (const auto data_dir = invocation.option("data-dir")) settings.installation.data_dir = *data_dir;
  const std::string& folder = settings.installation.data_dir;
  if (const Status made = make_data_dir(settings); !made) return invocation.fail(made.error());
  const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  crypto::SystemRandom random;
  const Status authority =
      pki_role::bootstrap_authority(folder + "/pki", settings.installation.host_names, now, random);
  if (!authority) return invocation.fail(authority.error().with_context("certificate authority"));
  const Status signing = make_signing_keys(folder);
  if (!signing) return invocation.fail(signing.error().with_context("keys that records are signed with"));
  const Status administrator = make_administrator(folder, random);
  if (!administrator) return invocation.fail(administrator.error().with_context("administrator's secrets"));
  if (const Status made = make_shared_backends(settings); !made) return invocation.fail(made.error());
  invocation.out << fmt::format("{} is ready\n", printable(folder, 4096));
  return ExitCode::ok;
}

}  // namespace

Command init_command() {
  return {.name = "init",
          .summary = "Makes the data folder: authority, server certificate, signing keys, administrator's secrets",
          .detail =
              "What is there already is kept; certificates that are about to expire are renewed. Where settings name\n"
              "Kafka or PostgreSQL, topics and tables are made there, under the rights of the user they name.\n"
              "  DATA_DIR/pki/root.crt      the authority that clients trust (its key may be moved away)\n"
              "  DATA_DIR/signing/          keys by which roles sign what gateways enforce, and the list of them\n"
              "  DATA_DIR/admin-token       the administrator's bearer token (0600)\n"
              "  DATA_DIR/admin-aws.json    the administrator's AWS key pair (0600)\n"
              "example: fleetward init --data-dir /var/lib/fleetward",
          .options = {{"config", "FILE", "YAML file of settings, the same as for run"},
                      {"data-dir", "DIR", "short for --fleetward.data_dir"}},
          .takes_settings = true,
          .run = run_init};
}

}  // namespace fleetward::program
