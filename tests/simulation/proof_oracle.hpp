// What a proof owes. When an action is said to be in effect, no gateway has a session of its thing, and each gateway
// that was heard of is named in the evidence. From then on, until a role's record lets the thing in again, no gateway
// admits it and none takes a report of it: not the one that cut it, and no other one.
//
// Looks at the connections themselves, not at what gateways say of them.
#pragma once

#include <map>

#include "fleet/action.hpp"
#include "simulation/access_oracle.hpp"
#include "simulation/network.hpp"

namespace fleetward::simulation {

class ProofOracle {
 public:
  ProofOracle(Universe& universe, const SimNetwork& network, const AccessOracle& access)
      : universe_(universe), network_(network), access_(access) {}

  // A step of an action was committed.
  void on_step(const fleet::ActionEvent& event);
  // A gateway is about to admit the thing.
  void on_admission(const std::string& gateway, const std::string& thing, std::uint64_t connection);
  void on_write(const Written& written);
  // When everything has come to rest.
  void at_rest() const;

  [[nodiscard]] std::size_t proofs() const { return proofs_; }

 private:
  struct Session {
    std::string gateway;
    std::string thing;
  };
  struct Heard {
    Instant first;  // since it last said goodbye
    bool stopped = true;
  };
  struct Proven {
    std::int64_t version = 0;
    Instant time;
  };
  void check_sessions(const std::string& thing, std::string_view why) const;
  void check_evidence(const fleet::Action& action) const;
  void take_heartbeat(const bus::Record& record);
  void take_report(const bus::Record& record);

  Universe& universe_;
  const SimNetwork& network_;
  const AccessOracle& access_;
  std::map<std::uint64_t, Session> sessions_;  // by connection: all that ever were
  std::map<std::string, Heard> heard_;         // by gateway
  std::map<std::string, Proven> proven_;       // by thing
  std::map<std::string, fleet::ActionState> states_;
  std::size_t proofs_ = 0;
};

}  // namespace fleetward::simulation
