// Who may start a connection, before anything is known of it but its address: rates and concurrency of handshakes, per
// address and in all; and how often a device, once it is known, may connect.
//
// What fails before it is authenticated counts against the address, never against a name that was claimed. An IPv6
// address counts by its /64, which one customer holds. An address that many devices share (NAT) shares its limits: the
// defaults leave a site of some thousand devices room.
//
// Pure, the gateway's thread. Memory: addresses_max addresses and things_max things that have used up something; beyond
// that, those at rest are forgotten, and when none is, the new ones share one entry.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "mqtt/token_bucket.hpp"

namespace fleetward::gateway {

using mqtt::Rate;
using mqtt::SteadyTime;

struct ConnectionLimits {
  Rate connections{1'000, 4'000};      // a second in all; a core does about a thousand handshakes
  std::size_t handshakes_max = 1'000;  // at once: what a core does before they time out
  Rate address_connections{500, 2'000};
  std::size_t address_handshakes_max = 256;
  Rate address_failures{5, 100};  // handshakes that failed; beyond it the address is closed at once
  Rate device_connections{10, 100};
  std::size_t addresses_max = 100'000;
  std::size_t things_max = 200'000;
};

// The part of an address that is limited: IPv4 whole (mapped into IPv6, too), IPv6 its first 64 bits.
std::string limited_part(std::string_view address);

class ConnectionGuard {
 public:
  explicit ConnectionGuard(const ConnectionLimits& limits) : limits_(limits) {}

  // Empty: it may go on, and its handshake is counted until over(). Otherwise the limit it ran into.
  std::string_view admit(const std::string& address, SteadyTime now);
  // The handshake of an admitted connection is over.
  void over(const std::string& address, bool succeeded, SteadyTime now);
  // Of a device that has proven who it is. False: it connects too often.
  bool connects(const std::string& thing, SteadyTime now);

  [[nodiscard]] std::size_t handshakes() const { return handshakes_; }
  [[nodiscard]] std::size_t addresses() const { return addresses_.size(); }

 private:
  struct Address {
    mqtt::TokenBucket connections, failures;
    std::size_t handshakes = 0;
    [[nodiscard]] bool is_at_rest(SteadyTime now) const {
      return handshakes == 0 && connections.is_full(now) && failures.is_full(now);
    }
  };
  Address& entry(const std::string& address, SteadyTime now);

  ConnectionLimits limits_;
  mqtt::TokenBucket connections_;
  std::size_t handshakes_ = 0;
  std::unordered_map<std::string, Address> addresses_;
  std::unordered_map<std::string, mqtt::TokenBucket> things_;
  Address shared_address_;  // of those for whom there is no room
  mqtt::TokenBucket shared_thing_;
  SteadyTime addresses_swept_{0}, things_swept_{0};
};

}  // namespace fleetward::gateway
