// What acknowledgements and admissions owe, from the durable log and from what gateways say to devices.
//
// A report that was acknowledged is on the log. A device that is held is not admitted by a gateway that has said that
// it enforces the hold, and the gateway takes no report of it. A gateway enforces what a role has signed, and nothing
// else that is on the topic.
#pragma once

#include <map>
#include <set>

#include "core/text.hpp"
#include "fleet/access.hpp"
#include "fleet/gateway_events.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/network.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class AccessOracle {
 public:
  // `things`: by the SHA-256 of their certificate.
  AccessOracle(Universe& universe, const std::map<std::string, std::string>& things)
      : universe_(universe), things_(things) {}

  void on_write(const Written& written);
  // The device has been told so.
  void on_acknowledged(const std::string& thing, const std::string& report);
  // A server is about to send this to the client with that certificate.
  void on_server_write(const SimNetwork::ServerWrite& write);
  // Gateway, thing and connection, when one is about to be admitted.
  std::function<void(const std::string&, const std::string&, std::uint64_t)> on_admission;
  // A gateway starts that reads the tables from the bus: it has to know all that is there.
  void on_gateway_start(const std::string& gateway);

  [[nodiscard]] std::size_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::size_t admissions() const { return admissions_; }
  [[nodiscard]] std::size_t enforced() const { return said_.size(); }
  [[nodiscard]] const fleet::AccessRecord* newest(const std::string& thing) const;
  // Whether every record from this version on keeps the thing out.
  [[nodiscard]] bool keeps_out_since(const std::string& thing, std::int64_t version) const;

 private:
  struct Said {
    std::int64_t version = 0;
    Instant time;
  };
  void take_access(const bus::Record& record);
  void take_enforcement(const bus::Record& record);
  void take_report(const bus::Record& record);
  [[nodiscard]] bool was_decided(const fleet::EnforcementEvent& event) const;

  Universe& universe_;
  const std::map<std::string, std::string>& things_;
  std::map<std::string, std::map<std::int64_t, fleet::AccessRecord>> records_;  // by thing and version
  std::map<std::pair<std::string, std::string>, Said> said_;                    // by gateway and thing
  std::set<std::pair<std::string, std::string>> reports_;
  std::size_t acknowledged_ = 0;
  std::size_t admissions_ = 0;
};

}  // namespace fleetward::simulation
