// One simulated device: connects with its certificate, reports at its interval, says what it was told, comes back.
//
// Lives on the fleet's scheduler. One report in flight; the one that was not acknowledged is kept (its bytes) and sent
// again with the DUP flag after a reconnect. Waits before a reconnect double up to the limit and start anew after a
// CONNACK of 0.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "fleet.hpp"
#include "net/connection.hpp"
#include "report_maker.hpp"
#include "wire.hpp"

namespace fleetsim {

struct Identity {
  std::string thing;
  std::string certificate_file;
  std::string key_file;
};

class Device {
 public:
  Device(Fleet& fleet, Identity identity, std::size_t index);
  ~Device();

  void start(Millis delay);
  void infect() { infected_ = true; }
  void begin_stop();
  [[nodiscard]] bool is_closed() const { return connection_ == nullptr; }
  [[nodiscard]] const std::string& thing() const { return identity_.thing; }

 private:
  enum class State { idle, connecting, greeting, running };
  struct Pending {
    std::int64_t report_id = 0;
    std::string payload;
  };

  void connect();
  void on_open();
  void on_data(fleetward::ByteView bytes);
  void on_message(const WireMessage& message);
  void on_connack(const WireMessage& message);
  void on_reply(const WireMessage& message);
  void on_closed(const fleetward::Error& error);
  void come_back_later();
  void set_timer(Millis delay, void (Device::*what)());
  void tick();
  void send_report();
  void publish_pending(bool again);
  [[nodiscard]] Millis first_delay() const;
  [[nodiscard]] bool is_infected_in(std::int64_t report_id) const;

  Fleet& fleet_;
  Identity identity_;
  ReportMaker maker_;
  Wire wire_;
  State state_ = State::idle;
  bool infected_ = false;  // for good, or in the reports of the options if there are any
  bool was_connected_ = false;
  std::shared_ptr<fleetward::net::Connection> connection_;
  fleetward::async::TimerId timer_ = fleetward::async::no_timer;
  Millis backoff_;
  Millis since_report_{0};
  std::int64_t next_report_id_;
  std::optional<Pending> pending_;
  std::optional<int> goodbye_code_;  // reason code of a DISCONNECT that we were sent
};

}  // namespace fleetsim
