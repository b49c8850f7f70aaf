// The server's QoS 1 publishes to one client (sections 4.3.2 and 4.9): which wait, which are unacknowledged, which
// packet identifiers are free.
//
// Never more unacknowledged than the client's Receive Maximum. Pure, one thread. Limit: `outbound_max` of offer().
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

class OutboundPublishes {
 public:
  struct Message {
    std::uint16_t packet_id = 0;
    std::string topic;
    std::string payload;
  };

  void set_receive_maximum(std::uint16_t maximum) { receive_maximum_ = maximum; }
  // False when so many wait or are unacknowledged already.
  bool offer(std::string_view topic, std::string_view payload, std::size_t outbound_max);
  // The next message that may be sent now, with its identifier.
  std::optional<Message> next();
  // PUBACK. False: no such publish is unacknowledged.
  bool acknowledged(std::uint16_t packet_id);
  [[nodiscard]] bool is_unacknowledged(std::uint16_t packet_id) const { return unacknowledged_.contains(packet_id); }

 private:
  std::uint16_t receive_maximum_ = 65'535;
  std::uint16_t next_packet_id_ = 1;
  std::unique_ptr<std::deque<Message>> waiting_;  // made when first needed: an idle client holds none
  std::set<std::uint16_t> unacknowledged_;
};

}  // namespace fleetward::mqtt
