// What a connected client sends: publishes, subscriptions and acknowledgements.
#include "mqtt/server_session.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::mqtt {

void ServerSession::handle_publish(const Frame& frame) {
  Failure failure;
  auto packet = decode_publish(frame, version_, failure);
  if (!packet) return fail(failure);
  if (!take_message()) return;
  if (packet->topic.size() > limits_.topic_bytes_max)
    return fail({reason::topic_name_invalid, "a topic longer than allowed"});
  if (packet->retain && version_ == Version::v5) return fail({reason::retain_not_supported, "a retained message"});
  if (!aliases_.resolve(*packet, failure)) return fail(failure);
  if (packet->qos == 0) return handler_.on_publish(*packet);
  const std::size_t under_way_max = version_ == Version::v5 ? limits_.receive_maximum : limits_.unacknowledged_max_311;
  switch (inbound_.take(*packet, under_way_max)) {
    case InboundPublishes::Taken::deliver:
      return handler_.on_publish(*packet);
    case InboundPublishes::Taken::still_pending:
      return;
    case InboundPublishes::Taken::answer_again:
      return send_receipt({PacketType::pubrec, packet->packet_id, reason::success, {}});
    case InboundPublishes::Taken::identifier_used:
      // 0x91 would be an acknowledgement of both, and the client could not tell which of them was meant.
      return fail({reason::protocol_error, "the packet identifier is in use"});
    case InboundPublishes::Taken::too_many:
      return fail({reason::receive_maximum_exceeded, "more unacknowledged publishes than allowed"});
  }
}

void ServerSession::acknowledge(std::uint16_t packet_id, std::uint8_t reason_code, std::string_view words) {
  const bool known = may_carry(PacketType::puback, Sender::server, reason_code);
  inbound_.acknowledge(packet_id, known ? reason_code : reason::unspecified_error, words);
  flush_acknowledgements();
}

void ServerSession::flush_acknowledgements() {
  while (const auto answer = inbound_.next_answer()) {
    if (state_ != State::ended) send_receipt(*answer);
  }
}

void ServerSession::send_receipt(const InboundPublishes::Answer& answer) {
  const bool with_words = wants_reasons_ && answer.reason_code >= 0x80;
  std::string packet = encode_acknowledgement(answer.type, version_, answer.packet_id, answer.reason_code,
                                              with_words ? std::string_view(answer.words) : std::string_view());
  if (!fits(packet)) packet = encode_acknowledgement(answer.type, version_, answer.packet_id, answer.reason_code);
  send_codes(packet);
}

// An answer that the client does not take and that cannot be shortened: it must not be sent (section 3.1.2.11.4), and
// without it the client would wait for ever.
void ServerSession::send_codes(const std::string& packet) {
  if (!fits(packet)) return fail({reason::packet_too_large, "the client takes no packet as large as its answer"});
  output_ += packet;
}

void ServerSession::handle_acknowledgement(const Frame& frame) {
  Failure failure;
  const auto packet = decode_acknowledgement(frame, version_, failure);
  if (!packet) return fail(failure);
  const std::uint16_t id = packet->packet_id;
  const bool is_refusal = packet->reason_code >= 0x80;
  switch (frame.type) {
    case PacketType::pubrel: {
      const bool known = inbound_.release(id);
      return send_receipt({PacketType::pubcomp, id, known ? reason::success : reason::packet_identifier_not_found, {}});
    }
    case PacketType::pubrec:
      // We send nothing with QoS 2: the client has a state that we do not, and is to let go of it (section 4.3.3).
      if (outbound_.is_unacknowledged(id)) return fail({reason::protocol_error, "a PUBREC for a QoS 1 publish"});
      if (!is_refusal) send_receipt({PacketType::pubrel, id, reason::packet_identifier_not_found, {}});
      return;
    case PacketType::puback:
      outbound_.acknowledged(id);  // one that we do not know is no harm
      return flush_outbound();
    default:
      return;  // PUBCOMP: what it completes, we have forgotten already
  }
}

// Sections 3.2.2.3.11 to 13: what was announced as not available is a protocol error of its own code. 3.1.1 was not
// told, and gets 0x80 for the filter.
bool ServerSession::refuses_whole(const Subscribe& packet) {
  if (version_ == Version::v311) return false;
  const auto refuse_for = [this](std::uint8_t code, const char* text) { return fail({code, text}), true; };
  if (packet.properties.subscription_identifier)
    return refuse_for(reason::subscription_identifiers_not_supported, "a subscription identifier");
  for (const SubscriptionRequest& request : packet.requests) {
    const bool is_shared = request.filter.starts_with("$share/");
    if (is_shared && request.no_local) return refuse_for(reason::protocol_error, "no local in a shared subscription");
    if (is_shared) return refuse_for(reason::shared_subscriptions_not_supported, "a shared subscription");
    if (is_topic_filter(request.filter) && request.filter.find_first_of("+#") != std::string_view::npos)
      return refuse_for(reason::wildcard_subscriptions_not_supported, "a wildcard subscription");
  }
  return false;
}

std::uint8_t ServerSession::subscribe(const SubscriptionRequest& request) {
  const std::string_view filter = request.filter;
  if (!is_topic_filter(filter) || filter.size() > limits_.topic_bytes_max) return reason::topic_filter_invalid;
  if (filter.starts_with("$share/")) return reason::shared_subscriptions_not_supported;
  if (filter.find_first_of("+#") != std::string_view::npos) return reason::wildcard_subscriptions_not_supported;
  if (!subscriptions_.contains(filter) && subscriptions_.size() >= limits_.subscriptions_max)
    return reason::quota_exceeded;
  const std::uint8_t code = handler_.on_subscribe(filter, std::min<std::uint8_t>(request.qos, 1));
  if (code < 0x80) subscriptions_[std::string(filter)] = code;
  return code;
}

void ServerSession::handle_subscribe(const Frame& frame) {
  Failure failure;
  const auto packet = decode_subscribe(frame, version_, failure);
  if (!packet) return fail(failure);
  if (!take_message() || refuses_whole(*packet)) return;
  if (packet->requests.size() > limits_.subscriptions_max)
    return fail({reason::quota_exceeded, "too many filters in a packet"});
  std::vector<std::uint8_t> codes;
  const bool in_use = version_ == Version::v5 && inbound_.is_in_use(packet->packet_id);
  for (const SubscriptionRequest& request : packet->requests) {
    codes.push_back(in_use ? reason::packet_identifier_in_use : subscribe(request));
    if (state_ == State::ended) return;
  }
  send_codes(encode_suback(version_, packet->packet_id, codes));
}

std::uint8_t ServerSession::unsubscribe(std::string_view filter) {
  if (!is_topic_filter(filter)) return reason::topic_filter_invalid;
  const auto found = subscriptions_.find(filter);
  if (found == subscriptions_.end()) return reason::no_subscription_existed;
  subscriptions_.erase(found);
  handler_.on_unsubscribe(filter);
  return reason::success;
}

void ServerSession::handle_unsubscribe(const Frame& frame) {
  Failure failure;
  const auto packet = decode_unsubscribe(frame, version_, failure);
  if (!packet) return fail(failure);
  if (!take_message()) return;
  if (packet->filters.size() > limits_.subscriptions_max)
    return fail({reason::quota_exceeded, "too many filters in a packet"});
  std::vector<std::uint8_t> codes;
  const bool in_use = version_ == Version::v5 && inbound_.is_in_use(packet->packet_id);
  for (const std::string_view filter : packet->filters) {
    codes.push_back(in_use ? reason::packet_identifier_in_use : unsubscribe(filter));
    if (state_ == State::ended) return;
  }
  send_codes(encode_unsuback(version_, packet->packet_id, codes));
}

bool ServerSession::publish(std::string_view topic, std::string_view payload) {
  const auto found = subscriptions_.find(topic);
  if (state_ != State::connected || found == subscriptions_.end()) return false;
  if (found->second == 0) {
    const std::string packet = encode_publish(version_, topic, payload, 0, 0);
    if (!fits(packet)) return false;
    output_ += packet;
    return true;
  }
  if (!outbound_.offer(topic, payload, limits_.outbound_max)) return false;
  flush_outbound();
  return true;
}

void ServerSession::flush_outbound() {
  while (const auto message = outbound_.next()) {
    const std::string packet = encode_publish(version_, message->topic, message->payload, 1, message->packet_id);
    if (fits(packet)) {
      output_ += packet;
    } else {
      outbound_.acknowledged(message->packet_id);  // as if it had been sent and received (section 3.1.2.11.4)
    }
  }
}

}  // namespace fleetward::mqtt
