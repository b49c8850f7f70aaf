#include "mqtt/inbound_publishes.hpp"

namespace fleetward::mqtt {

InboundPublishes::Taken InboundPublishes::take(const Publish& packet, std::size_t under_way_max) {
  if (std::find(unreleased_.begin(), unreleased_.end(), packet.packet_id) != unreleased_.end()) {
    return packet.qos == 2 ? Taken::answer_again : Taken::identifier_used;
  }
  for (const Open& open : open_) {
    if (open.packet_id != packet.packet_id) continue;
    return packet.dup && open.qos == packet.qos ? Taken::still_pending : Taken::identifier_used;
  }
  if (under_way() >= under_way_max) return Taken::too_many;
  open_.push_back({packet.packet_id, packet.qos, std::nullopt, {}});
  return Taken::deliver;
}

void InboundPublishes::acknowledge(std::uint16_t packet_id, std::uint8_t reason_code, std::string_view words) {
  for (Open& open : open_) {
    if (open.packet_id != packet_id || open.reason_code) continue;
    open.reason_code = reason_code;
    open.words = words;
    return;
  }
}

std::optional<InboundPublishes::Answer> InboundPublishes::next_answer() {
  if (open_.empty() || !open_.front().reason_code) return std::nullopt;
  Open& first = open_.front();
  Answer answer{first.qos == 2 ? PacketType::pubrec : PacketType::puback, first.packet_id, *first.reason_code,
                std::move(first.words)};
  if (first.qos == 2 && answer.reason_code < 0x80) unreleased_.push_back(first.packet_id);
  open_.erase(open_.begin());
  return answer;
}

bool InboundPublishes::release(std::uint16_t packet_id) { return std::erase(unreleased_, packet_id) > 0; }

bool InboundPublishes::is_in_use(std::uint16_t packet_id) const {
  const auto is_it = [packet_id](const Open& open) { return open.packet_id == packet_id; };
  return std::any_of(open_.begin(), open_.end(), is_it) ||
         std::find(unreleased_.begin(), unreleased_.end(), packet_id) != unreleased_.end();
}

}  // namespace fleetward::mqtt
