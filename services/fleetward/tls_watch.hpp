// The server's certificate, its key and whom it trusts, while it runs: read again when their files changed and have
// come to rest, or when asked to; taken only when they are good (server_tls.hpp).
//
// What is no good leaves the old in force and is told once. Tells once a day when the certificate in force is about to
// expire: `fleetward init` renews it. Blocking; main thread.
#pragma once

#include <functional>
#include <optional>

#include "runtime/file_watch.hpp"
#include "services/fleetward/server_tls.hpp"

namespace fleetward::program {

class TlsWatch {
 public:
  using Apply = std::function<Status(const net::TlsMaterial&)>;

  // `folder` may be empty: then there is nothing to watch. The files as they are now count as in force.
  TlsWatch(std::string folder, ClientTrust trust, Apply apply);

  // Reads the files when they changed and have come to rest. Called now and then.
  void look(Instant now);
  // Reads them whether they changed or not, and says so.
  void reload(Instant now);
  // The last reading was no good: older ones are in force.
  [[nodiscard]] bool is_stale() const { return stale_; }
  // When the certificate in force expires.
  [[nodiscard]] std::optional<Instant> not_after() const { return not_after_; }
  // What the last reading brought: the changes, or the error.
  [[nodiscard]] const std::string& told() const { return told_; }

 private:
  void read(Instant now, bool asked);
  void put_in_force(net::TlsMaterial material);
  void warn_of_expiry(Instant now);

  std::string folder_;
  ClientTrust trust_;
  Apply apply_;
  runtime::FileWatch files_;
  net::TlsMaterial in_force_;
  Instant not_before_{};
  std::optional<Instant> not_after_;
  std::optional<Instant> warned_;
  bool stale_ = false;
  std::string told_;
};

}  // namespace fleetward::program
