#include "mqtt/outbound_publishes.hpp"

namespace fleetward::mqtt {

bool OutboundPublishes::offer(std::string_view topic, std::string_view payload, std::size_t outbound_max) {
  if (!waiting_) waiting_ = std::make_unique<std::deque<Message>>();
  if (waiting_->size() + unacknowledged_.size() >= outbound_max) return false;
  waiting_->push_back({0, std::string(topic), std::string(payload)});
  return true;
}

std::optional<OutboundPublishes::Message> OutboundPublishes::next() {
  if (!waiting_ || waiting_->empty() || unacknowledged_.size() >= receive_maximum_) return std::nullopt;
  while (next_packet_id_ == 0 || unacknowledged_.contains(next_packet_id_)) ++next_packet_id_;
  Message message = std::move(waiting_->front());
  waiting_->pop_front();
  if (waiting_->empty()) waiting_.reset();
  message.packet_id = next_packet_id_++;
  unacknowledged_.insert(message.packet_id);
  return message;
}

bool OutboundPublishes::acknowledged(std::uint16_t packet_id) { return unacknowledged_.erase(packet_id) > 0; }

}  // namespace fleetward::mqtt
