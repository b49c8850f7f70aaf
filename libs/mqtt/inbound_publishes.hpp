// The client's publishes of QoS 1 and 2 that are under way (section 4.3): which packet identifiers are in use, in which
// order they are answered, and that one of QoS 2 is delivered once.
//
// QoS 1: taken, acknowledged by the owner, answered (PUBACK), forgotten. QoS 2: taken, acknowledged, answered (PUBREC);
// its identifier stays known until the client releases it (PUBREL), so that a repeat is answered and not delivered
// again. A refusal (0x80 and above) forgets it at once (section 4.3.3). Answers keep the order of the publishes
// (section 4.6), whenever and in whatever order the owner acknowledges.
//
// Pure, one thread. Limit: `under_way_max` of take().
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

class InboundPublishes {
 public:
  enum class Taken {
    deliver,          // a new one
    still_pending,    // a repeat of one that is not answered yet: its answer will do for both
    answer_again,     // a repeat of a QoS 2 one that was answered: another PUBREC, no delivery
    identifier_used,  // by a publish of the other QoS, or by one that is no repeat
    too_many,
  };
  struct Answer {
    PacketType type = PacketType::puback;
    std::uint16_t packet_id = 0;
    std::uint8_t reason_code = reason::success;
    std::string words;
  };

  Taken take(const Publish& packet, std::size_t under_way_max);
  void acknowledge(std::uint16_t packet_id, std::uint8_t reason_code, std::string_view words);
  // The next answer that may be sent, each once.
  std::optional<Answer> next_answer();
  // PUBREL. False: no such publish waits for it.
  bool release(std::uint16_t packet_id);

  [[nodiscard]] bool is_in_use(std::uint16_t packet_id) const;
  [[nodiscard]] std::size_t under_way() const { return open_.size() + unreleased_.size(); }

 private:
  struct Open {
    std::uint16_t packet_id = 0;
    std::uint8_t qos = 1;
    std::optional<std::uint8_t> reason_code;  // once it is acknowledged
    std::string words;
  };
  // Vectors, since an idle session must cost nothing and a busy one has few.
  std::vector<Open> open_;                 // in order of their publishes
  std::vector<std::uint16_t> unreleased_;  // QoS 2, answered, PUBREL not yet seen
};

}  // namespace fleetward::mqtt
