// One connection of the load client, again and again or for ever, by kind of load. Lives on the load's scheduler.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/connection.hpp"
#include "options.hpp"
#include "wire.hpp"

namespace fleetload {

struct Totals {
  std::int64_t connects = 0;      // CONNACKs of 0
  std::int64_t acknowledged = 0;  // PUBACKs of 0
  std::int64_t refused = 0;       // CONNACKs and PUBACKs of another code
  std::int64_t broken = 0;        // connections that ended without being asked to
  bool counting = true;
  bool stopping = false;
};

class Client {
 public:
  Client(fleetward::async::Scheduler& scheduler, const Options& options, Totals& totals, std::string thing,
         std::shared_ptr<const fleetward::net::TlsContext> tls, std::string report);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void start();

 private:
  void on_message(const fleetsim::WireMessage& message);
  void on_closed();
  void publish();
  void publish_when_due();

  fleetward::async::Scheduler& scheduler_;
  const Options& options_;
  Totals& totals_;
  std::string thing_;
  std::shared_ptr<const fleetward::net::TlsContext> tls_;
  std::string report_;
  fleetsim::Wire wire_{fleetward::mqtt::Version::v311};
  std::shared_ptr<fleetward::net::Connection> connection_;
  std::uint16_t packet_id_ = 0;
  bool leaving_ = false;
  bool waiting_ = false;  // for the acknowledgement of the last
};

}  // namespace fleetload
