// The fleet of a world: its authority, things, groups, certificates and profile, as an operator would have made them.
#pragma once

#include <map>
#include <memory>

#include "net/tls.hpp"
#include "simulation/process_store.hpp"

namespace fleetward::simulation {

inline const Instant world_start = instant_from_ms(1'700'000'100'000);  // begin of a pane

// Made once a test program: keys take time, and nothing hangs on them.
struct Authority {
  std::string folder;
  std::string root_pem, issuing_pem, issuing_id, server_chain_pem, server_key_pem;
};
const Authority& authority();

// A folder in memory for files that have to be synced often; removed with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Member {
  std::string thing;
  std::shared_ptr<const net::TlsContext> tls;  // as a client, with its certificate
};

struct FleetSetup {
  std::vector<Member> members;
  std::map<std::string, std::string> things;  // by the SHA-256 of the certificate
  std::map<std::string, std::int64_t> group_sizes;
};

// `count` things in one or two groups, one profile for all of them. Ends the process when the store refuses.
FleetSetup set_up_fleet(SharedStore& store, std::int64_t count);

}  // namespace fleetward::simulation
