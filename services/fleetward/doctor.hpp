// The doctor: looks at one installation from outside, running or stopped, and says of each thing whether it is well
// and, where not, what to do.
//
// Changes nothing but a scratch file in the data folder (to time the disk), and takes no lock: a server may run, start
// or stop meanwhile. Blocking; main thread. Limits: those of the single checks; each network call some seconds.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "services/fleetward/settings.hpp"

namespace fleetward::program {

enum class Health { ok, warn, fail };
std::string_view to_string(Health health);

struct Finding {
  std::string area;   // "certificates"
  std::string check;  // "server.crt expiry"
  Health health = Health::ok;
  std::string found;
  std::string advice;  // what to do; empty when all is well
};

struct Findings {
  void ok(std::string check, std::string found);
  void warn(std::string check, std::string found, std::string advice);
  void fail(std::string check, std::string found, std::string advice);
  void begin(std::string area_name) { area = std::move(area_name); }

  std::string area;
  std::vector<Finding> all;
};

// The process that holds the data folder, by the kernel's list of locks.
std::optional<std::int64_t> server_on(const std::string& data_dir);

// Disk space, the time of an fsync, who may read the secrets and write the settings.
void examine_disk(const Settings& settings, Findings& findings);
void examine_secrets(const Settings& settings, const std::string& config_file, Findings& findings);
// Chains, names, expiry, and whether keys belong to them.
void examine_certificates(const Settings& settings, Instant now, Findings& findings);
// The keys that records are signed with: there, and listed.
void examine_signing(const Settings& settings, Findings& findings);
// Log and store, wherever the settings have them.
void examine_backends(const Settings& settings, bool is_running, Instant now, Findings& findings);
// Those in the data folder: readable, whole, of our schema, of one another; what waits in the outbox.
void examine_files(const Settings& settings, bool is_running, Instant now, Findings& findings);
// Brokers that answer and take the credentials; topics as they have to be; copies.
void examine_kafka(const Settings& settings, Findings& findings);
// A primary that takes the credentials; its schema, clock and standbys; what waits in the outbox.
void examine_postgres(const Settings& settings, Instant now, Findings& findings);
// What would be decided and who would be told.
void examine_playbook(const Settings& settings, Findings& findings);
// Where roles are processes of their own: whether the one of these settings runs here and is ready.
void examine_role(const Settings& settings, Findings& findings);
// Ports: of a running server whether it answers, else whether they can be had. CRL as everyone sees it.
void examine_ports(const Settings& settings, bool is_running, Findings& findings);
// This machine's clock: synchronised, and not away from those of the pagers.
void examine_clock(const Settings& settings, Findings& findings);
void examine_pagers(const Settings& settings, Findings& findings);
// Where there are sources: brokers that answer, topics that are there.
void examine_collector(const Settings& settings, Findings& findings);

}  // namespace fleetward::program
