// The Will of a connection (section 3.1.2.5): kept as a value that outlives the CONNECT, and the decision what becomes
// of it. Pure, thread-safe.
//
// A sink endpoint publishes none, since nobody subscribes to other devices' topics there; a relay goes by the decision.
// Limit: a will is no larger than the CONNECT it came in (SessionLimits::connect_bytes_max).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

// A will that owns its bytes. Section 3.1.3.2: its properties go with the message, but for the delay, which is ours.
struct StoredWill {
  std::string topic;
  Bytes payload;
  std::uint8_t qos = 0;
  bool retain = false;
  std::chrono::seconds delay{0};  // 0 in 3.1.1
  std::optional<std::uint8_t> payload_format_indicator;
  std::optional<std::uint32_t> message_expiry_interval;
  std::optional<std::string> content_type;
  std::optional<std::string> response_topic;
  std::optional<Bytes> correlation_data;
  std::vector<std::pair<std::string, std::string>> user;  // in the order in which they came
};
StoredWill keep(const Will& will);

// How a connection ended.
struct Ending {
  enum class By {
    client,           // it sent a DISCONNECT
    network,          // closed, reset or silent for too long
    protocol,         // refused for what it sent, or how much of it
    taken_over,       // the same client connected again
    server_stopping,  // this server is going down
    operator_order,   // held or revoked
  };
  By by = By::network;
  std::uint8_t reason_code = reason::success;  // of the client's DISCONNECT
  bool clean_start_of_successor = false;       // taken_over: the new connection asks for a new session
};

// nullopt: it is discarded. Otherwise it is to be published after that time, unless the client is back before.
//
// Section 3.1.2.5 and 3.1.3.2.2: discarded on a DISCONNECT with code 0; in every other case published when the delay is
// over or the session ends, whichever is first. A take-over that goes on with the session within the delay discards it.
// A device that is cut off by the operator's order is one deviation: what a compromised device left behind to be said
// in its name is not said. A server that stops leaves the will to the one that the client goes to (it MAY, 3.1.2.5).
std::optional<std::chrono::seconds> will_decision(const Ending& ending, std::chrono::seconds delay,
                                                  std::chrono::seconds session_expiry);

}  // namespace fleetward::mqtt
