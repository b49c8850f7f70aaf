#include "mqtt/server_session.hpp"

#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

constexpr std::size_t connect_bytes_max = 16 << 10;  // before anything is known of the client

}  // namespace

ServerSession::ServerSession(Handler& handler, SessionLimits limits, SteadyTime now)
    : handler_(handler), limits_(limits), last_heard_(now) {}

void ServerSession::feed(ByteView bytes, SteadyTime now) {
  if (state_ == State::ended) return;
  last_heard_ = now;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (std::exchange(feeding_, true)) return;  // called from within a handler
  std::size_t used = 0;
  while (state_ == State::waiting_for_connect || state_ == State::connected) {
    Failure failure;
    const std::size_t bytes_max = state_ == State::connected ? limits_.packet_bytes_max : connect_bytes_max;
    const auto frame = next_frame(ByteView(buffer_).subspan(used), bytes_max, failure);
    if (failure.reason_code != reason::success) fail(failure);
    if (!frame) break;
    used += frame->whole.size();
    handle(*frame);
  }
  feeding_ = false;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used));
  if (buffer_.empty()) buffer_ = Bytes();  // an idle client holds no buffer
}

void ServerSession::handle(const Frame& frame) {
  if (state_ == State::waiting_for_connect && frame.type != PacketType::connect) {
    return fail({reason::protocol_error, "the first packet is no CONNECT"});
  }
  Failure failure;
  switch (frame.type) {
    case PacketType::connect:
      return handle_connect(frame);
    case PacketType::publish:
      return handle_publish(frame);
    case PacketType::subscribe:
      return handle_subscribe(frame);
    case PacketType::unsubscribe:
      return handle_unsubscribe(frame);
    case PacketType::puback:
      return handle_acknowledgement(frame);
    case PacketType::disconnect:
      return handle_disconnect(frame);
    case PacketType::pingreq:
      if (!decode_empty(frame, failure)) return fail(failure);
      output_ += encode_pingresp();
      return;
    default:
      return fail({reason::protocol_error, "a packet that a client may not send here"});
  }
}

void ServerSession::handle_connect(const Frame& frame) {
  if (state_ != State::waiting_for_connect) return fail({reason::protocol_error, "a second CONNECT"});
  Failure failure;
  const auto packet = decode_connect(frame, failure);
  if (!packet) {
    // Answered in the client's own version where that could be read (the level byte stands at a fixed place).
    if (frame.body.size() > 6 && frame.body[6] == 5) version_ = Version::v5;
    return fail(failure);
  }
  version_ = packet->version;
  problem_information_ = packet->properties.request_problem_information.value_or(1) == 1;
  client_receive_maximum_ = packet->properties.receive_maximum.value_or(65'535);
  client_packet_bytes_max_ = packet->properties.maximum_packet_size.value_or(0);
  const std::uint16_t asked = packet->keep_alive_seconds;
  keep_alive_seconds_ = asked == 0 || asked > limits_.keep_alive_seconds_max ? limits_.keep_alive_seconds_max : asked;
  keep_alive_was_changed_ = keep_alive_seconds_ != asked;
  if (version_ == Version::v311 && asked == 0) keep_alive_seconds_ = 0;  // 3.1.1 cannot be told; TCP keep-alive must do
  state_ = State::deciding;
  if (packet->properties.authentication_method) return refuse(reason::bad_authentication_method);
  if (packet->will && packet->will->qos > 1) return refuse(reason::qos_not_supported);
  if (packet->will && packet->will->retain) return refuse(reason::retain_not_supported);
  handler_.on_connect(*packet);
}

void ServerSession::accept(std::vector<std::pair<std::string, std::string>> user_properties) {
  if (state_ != State::deciding) return;
  state_ = State::connected;
  ConnackOptions options;
  options.receive_maximum = limits_.receive_maximum;
  options.maximum_packet_size = static_cast<std::uint32_t>(limits_.packet_bytes_max);
  if (keep_alive_was_changed_) options.server_keep_alive = keep_alive_seconds_;
  options.user = std::move(user_properties);
  output_ += encode_connack(version_, options);
  if (!feeding_) feed({}, last_heard_);  // what came behind the CONNECT
}

void ServerSession::refuse(std::uint8_t reason_code, std::vector<std::pair<std::string, std::string>> user_properties) {
  if (state_ != State::deciding && state_ != State::waiting_for_connect) return;
  ConnackOptions options;
  options.reason_code = reason_code;
  options.user = std::move(user_properties);
  output_ += encode_connack(version_, options);
  state_ = State::ended;
}

void ServerSession::handle_publish(const Frame& frame) {
  Failure failure;
  const auto packet = decode_publish(frame, version_, failure);
  if (!packet) return fail(failure);
  if (packet->qos == 2) return fail({reason::qos_not_supported, "QoS 2"});
  if (packet->retain && version_ == Version::v5) return fail({reason::retain_not_supported, "a retained message"});
  if (packet->properties.topic_alias)
    return fail({reason::topic_alias_invalid, "a topic alias, although none is allowed"});
  if (packet->qos == 1) {
    for (const Inbound& open : inbound_) {
      if (open.packet_id == packet->packet_id)
        return fail({reason::packet_identifier_in_use, "the packet identifier is in use"});
    }
    const std::size_t open_max = version_ == Version::v5 ? limits_.receive_maximum : limits_.unacknowledged_max_311;
    if (inbound_.size() >= open_max) {
      return fail({reason::receive_maximum_exceeded, "more unacknowledged publishes than allowed"});
    }
    inbound_.push_back({packet->packet_id, std::nullopt});
  }
  handler_.on_publish(*packet);
}

void ServerSession::acknowledge(std::uint16_t packet_id, std::uint8_t reason_code) {
  for (Inbound& open : inbound_) {
    if (open.packet_id == packet_id && !open.reason_code) {
      open.reason_code = reason_code;
      break;
    }
  }
  flush_acknowledgements();
}

void ServerSession::flush_acknowledgements() {
  while (!inbound_.empty() && inbound_.front().reason_code) {
    if (state_ != State::ended)
      output_ += encode_puback(version_, inbound_.front().packet_id, *inbound_.front().reason_code);
    inbound_.pop_front();
  }
}

std::uint8_t ServerSession::subscribe(std::string_view filter, std::uint8_t qos) {
  if (!is_topic_filter(filter)) return reason::topic_filter_invalid;
  if (filter.starts_with("$share/")) return reason::shared_subscriptions_not_supported;
  if (filter.find_first_of("+#") != std::string_view::npos) return reason::wildcard_subscriptions_not_supported;
  if (!subscriptions_.contains(filter) && subscriptions_.size() >= limits_.subscriptions_max)
    return reason::quota_exceeded;
  const std::uint8_t code = handler_.on_subscribe(filter, std::min<std::uint8_t>(qos, 1));
  if (code < 0x80) subscriptions_[std::string(filter)] = code;
  return code;
}

void ServerSession::handle_subscribe(const Frame& frame) {
  Failure failure;
  const auto packet = decode_subscribe(frame, version_, failure);
  if (!packet) return fail(failure);
  if (packet->properties.subscription_identifier)
    return fail({reason::subscription_identifiers_not_supported, "a subscription identifier"});
  if (packet->requests.size() > limits_.subscriptions_max)
    return fail({reason::quota_exceeded, "too many filters in a packet"});
  std::vector<std::uint8_t> codes;
  for (const SubscriptionRequest& request : packet->requests) {
    codes.push_back(subscribe(request.filter, request.qos));
    if (state_ == State::ended) return;
  }
  output_ += encode_suback(version_, packet->packet_id, codes);
}

void ServerSession::handle_unsubscribe(const Frame& frame) {
  Failure failure;
  const auto packet = decode_unsubscribe(frame, version_, failure);
  if (!packet) return fail(failure);
  std::vector<std::uint8_t> codes;
  for (const std::string_view filter : packet->filters) {
    const auto found = subscriptions_.find(filter);
    codes.push_back(found == subscriptions_.end() ? reason::no_subscription_existed : reason::success);
    if (found == subscriptions_.end()) continue;
    subscriptions_.erase(found);
    handler_.on_unsubscribe(filter);
  }
  output_ += encode_unsuback(version_, packet->packet_id, codes);
}

void ServerSession::handle_acknowledgement(const Frame& frame) {
  Failure failure;
  const auto packet = decode_acknowledgement(frame, version_, failure);
  if (!packet) return fail(failure);
  outbound_unacknowledged_.erase(packet->packet_id);  // one that we do not know is no harm
  flush_outbound();
}

void ServerSession::handle_disconnect(const Frame& frame) {
  Failure failure;
  if (!decode_disconnect(frame, version_, failure)) return fail(failure);
  end({}, true);
}

bool ServerSession::is_subscribed(std::string_view topic) const { return subscriptions_.contains(topic); }

bool ServerSession::publish(std::string_view topic, std::string_view payload) {
  const auto found = subscriptions_.find(topic);
  if (state_ != State::connected || found == subscriptions_.end()) return false;
  if (found->second == 0) {
    const std::string packet = encode_publish(version_, topic, payload, 0, 0);
    if (client_packet_bytes_max_ != 0 && packet.size() > client_packet_bytes_max_) return false;
    output_ += packet;
    return true;
  }
  if (outbound_waiting_.size() + outbound_unacknowledged_.size() >= limits_.outbound_max) return false;
  outbound_waiting_.push_back({std::string(topic), std::string(payload)});
  flush_outbound();
  return true;
}

void ServerSession::flush_outbound() {
  while (!outbound_waiting_.empty() && outbound_unacknowledged_.size() < client_receive_maximum_) {
    while (next_packet_id_ == 0 || outbound_unacknowledged_.contains(next_packet_id_)) ++next_packet_id_;
    const Outbound message = std::move(outbound_waiting_.front());
    outbound_waiting_.pop_front();
    const std::string packet = encode_publish(version_, message.topic, message.payload, 1, next_packet_id_);
    if (client_packet_bytes_max_ != 0 && packet.size() > client_packet_bytes_max_) continue;  // section 3.1.2.11.4
    outbound_unacknowledged_[next_packet_id_++] = true;
    output_ += packet;
  }
}

void ServerSession::disconnect(std::uint8_t reason_code, std::string_view words) {
  if (state_ == State::ended) return;
  if (state_ != State::connected) return refuse(reason_code);
  if (version_ == Version::v5) {
    std::string packet = encode_disconnect(version_, reason_code, problem_information_ ? words : std::string_view());
    // Words that make it too large for the client are left out (section 3.14.2.2.3).
    if (client_packet_bytes_max_ != 0 && packet.size() > client_packet_bytes_max_)
      packet = encode_disconnect(version_, reason_code);
    output_ += packet;
  }
  state_ = State::ended;
}

void ServerSession::fail(const Failure& failure) {
  if (state_ == State::ended) return;
  if (state_ == State::connected) {
    disconnect(failure.reason_code);
  } else if (version_ == Version::v5 || failure.reason_code == reason::unsupported_protocol_version) {
    refuse(failure.reason_code);
  }
  state_ = State::ended;
  handler_.on_end(failure, false);
}

void ServerSession::end(const Failure& failure, bool by_client) {
  state_ = State::ended;
  handler_.on_end(failure, by_client);
}

std::optional<SteadyTime> ServerSession::deadline() const {
  if (state_ != State::connected || keep_alive_seconds_ == 0) return std::nullopt;
  return last_heard_ + std::chrono::duration_cast<SteadyTime>(Seconds(1.5 * keep_alive_seconds_));
}

void ServerSession::on_time(SteadyTime now) {
  const auto due = deadline();
  if (due && now >= *due) fail({reason::keep_alive_timeout, "keep-alive time-out"});
}

}  // namespace fleetward::mqtt
