// What is known of the gateways: their last signs of life, who was declared gone, and whether a probe of them is worth
// anything. Pure: time is handed in. The responder's thread.
//
// Limits: gateways_max; beyond it nothing can be proven until some are gone, and is_full() says so.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fleet/gateway_events.hpp"

namespace fleetward::responder {

class Gateways {
 public:
  static constexpr std::size_t gateways_max = 10'000;

  // True when it matters to who waits: a gateway that is new, started again, or is back, or one that left.
  bool note(fleet::GatewayHeartbeat heartbeat, Instant now);
  void set_gone(std::vector<fleet::GoneGateway> gone);

  // A copy: it is looked at while heartbeats and persons' words go on coming in.
  struct Known {
    fleet::GatewayHeartbeat heartbeat;
    fleet::GatewayStanding standing = fleet::GatewayStanding::live;
    std::optional<fleet::GoneGateway> gone;  // while the standing is gone
  };
  // Those that have not said goodbye.
  [[nodiscard]] std::vector<Known> known(Instant now) const;
  [[nodiscard]] bool is_full() const { return is_full_; }
  // What an action has to wait for, in words: silent gateways and what to do. Empty: none is silent. The same words as
  // long as the same ones are.
  [[nodiscard]] std::string silence(Instant now) const;
  [[nodiscard]] std::map<fleet::GatewayStanding, std::size_t> count(Instant now) const;

  // ---- the test of the probe itself: a thing that is free must be let through, or a refusal proves nothing

  // Live ones that were not tested in this life, or not for `every`, or failed and are to be tried after `retry`.
  // They count as being tested until note_test().
  std::vector<fleet::GatewayHeartbeat> take_due(Instant now, Millis every, Millis retry);
  // `fault` in words, empty: it passed; nothing at all: it could not be told.
  void note_test(const fleet::GatewayHeartbeat& tested, const std::optional<std::string>& fault, Instant now);
  // Why a refusal of this gateway is no proof; empty when it is.
  [[nodiscard]] std::string distrust(const fleet::GatewayHeartbeat& heartbeat) const;

 private:
  struct Test {
    std::int64_t start_number = 0;
    Instant at;
    std::string fault;
  };
  [[nodiscard]] const fleet::GoneGateway* gone(const std::string& instance) const;

  std::map<std::string, fleet::GatewayHeartbeat> heartbeats_;
  std::map<std::string, fleet::GoneGateway> gone_;
  std::map<std::string, Test> tests_;
  std::set<std::string> under_test_;
  bool is_full_ = false;
};

}  // namespace fleetward::responder
