// A device with its agent: connects to one of the gateways, reports, sends again what was not acknowledged, and, once
// infected, reports a port that it should not have.
//
// Lives on the loop that it is given; the world tells it when the trouble is over.
#pragma once

#include "mqtt/packet.hpp"
#include "net/connection.hpp"
#include "simulation/universe.hpp"
#include "wire.hpp"

namespace fleetward::simulation {

class Device {
 public:
  struct Hooks {
    std::function<void(const std::string& thing, const std::string& report)> acknowledged;
    std::function<bool()> may_report;
  };

  Device(Universe& universe, Loop& loop, std::string thing, std::shared_ptr<const net::TlsContext> tls,
         std::vector<net::Endpoint> gateways, mqtt::Version version, Hooks hooks);

  void start() { connect_later(Millis(0)); }
  void set_infected(bool infected) { infected_ = infected; }
  [[nodiscard]] bool infected() const { return infected_; }
  [[nodiscard]] bool has_session() const { return admitted_; }
  [[nodiscard]] std::size_t unacknowledged() const { return in_flight_.size(); }
  [[nodiscard]] const std::string& thing() const { return thing_; }
  [[nodiscard]] std::int64_t refusals() const { return refusals_; }

 private:
  struct Report {
    std::uint16_t packet = 0;
    std::string text;
  };

  void connect_later(Millis wait);
  void connect();
  void on_message(const fleetsim::WireMessage& message);
  void on_closed();
  void report_later();
  void send(const Report& report, bool again);
  void watch(std::uint64_t session);

  Universe& universe_;
  Loop& loop_;
  std::string thing_;
  std::shared_ptr<const net::TlsContext> tls_;
  std::vector<net::Endpoint> gateways_;
  fleetsim::Wire wire_;
  Hooks hooks_;
  std::shared_ptr<net::Connection> connection_;
  std::uint64_t session_ = 0;  // counts connections
  Instant heard_{};
  bool admitted_ = false;
  bool infected_ = false;
  bool reporting_ = false;
  std::deque<Report> in_flight_;
  std::uint16_t packet_ = 0;
  std::int64_t reports_ = 0;
  std::int64_t refusals_ = 0;
};

}  // namespace fleetward::simulation
