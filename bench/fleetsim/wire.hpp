// The client's side of MQTT as the simulator needs it: packets out as bytes, bytes in as messages, over libs/mqtt.
//
// Not thread-safe, no sockets. Limits: packets of 256 KiB.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/text.hpp"
#include "mqtt/packet.hpp"

namespace fleetsim {

struct WireMessage {
  enum class Kind { connack, puback, publish, disconnect, other } kind = Kind::other;
  int reason_code = 0;
  std::uint16_t packet_id = 0;
  std::string_view topic;  // views: only until the handler returns
  std::string_view payload;
};

class Wire {
 public:
  explicit Wire(fleetward::mqtt::Version version) : version_(version) {}

  [[nodiscard]] std::string connect(std::string_view client_id) const;
  [[nodiscard]] std::string subscribe(std::uint16_t packet_id, std::string_view filter) const;
  [[nodiscard]] std::string publish(std::uint16_t packet_id, std::string_view topic, std::string_view payload,
                                    bool again) const;
  [[nodiscard]] std::string ping() const;
  [[nodiscard]] std::string disconnect() const;

  // Forgets half-read bytes: before a new connection.
  void reset() { buffer_.clear(); }
  // Takes bytes; `handle` gets each whole message. An error: not MQTT.
  fleetward::Status feed(fleetward::ByteView bytes, const std::function<void(const WireMessage&)>& handle);

 private:
  fleetward::mqtt::Version version_;
  fleetward::Bytes buffer_;
};

}  // namespace fleetsim
