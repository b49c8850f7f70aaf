#include "mqtt/server_session.hpp"

namespace fleetward::mqtt {
namespace {

// A code that the packet may not carry becomes the nearest one that it may.
std::uint8_t for_connack(std::uint8_t code) {
  if (may_carry(PacketType::connack, Sender::server, code)) return code;
  return code == reason::server_shutting_down ? reason::server_unavailable : reason::unspecified_error;
}
std::uint8_t for_disconnect(std::uint8_t code) {
  return may_carry(PacketType::disconnect, Sender::server, code) ? code : reason::unspecified_error;
}

Ending::By ended_by(std::uint8_t reason_code) {
  switch (reason_code) {
    case reason::session_taken_over:
      return Ending::By::taken_over;
    case reason::server_shutting_down:
      return Ending::By::server_stopping;
    case reason::administrative_action:
      return Ending::By::operator_order;
    case reason::keep_alive_timeout:
      return Ending::By::network;
    default:
      return Ending::By::protocol;
  }
}

}  // namespace

ServerSession::ServerSession(Handler& handler, const SessionLimits& limits, SteadyTime now)
    : handler_(handler), limits_(limits), now_(now), last_heard_(now), aliases_(limits.topic_alias_maximum) {}

void ServerSession::feed(ByteView bytes, SteadyTime now) {
  if (state_ == State::ended) return;
  now_ = now;
  if (paused_until_ && now >= *paused_until_) paused_until_.reset();
  if (!take_bytes(bytes.size())) return;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (std::exchange(feeding_, true)) return;  // called from within a handler
  std::size_t used = 0;
  while (state_ == State::waiting_for_connect || state_ == State::connected) {
    Failure failure;
    const std::size_t bytes_max = state_ == State::connected ? limits_.packet_bytes_max : limits_.connect_bytes_max;
    const auto frame = next_frame(ByteView(buffer_).subspan(used), bytes_max, failure);
    if (failure.reason_code != reason::success) fail(failure);
    if (!frame || must_wait(*frame)) break;
    used += frame->whole.size();
    last_heard_ = now;
    handle(*frame);
  }
  feeding_ = false;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used));
  if (buffer_.empty()) buffer_ = Bytes();  // an idle client holds no buffer
  if (state_ == State::deciding && buffer_.size() > limits_.packet_bytes_max)
    fail({reason::packet_too_large, "too much behind a CONNECT that is not decided yet"});
  if (paused_until_ && buffer_.size() > 2 * limits_.packet_bytes_max)
    fail({reason::quota_exceeded, "more bytes a second than allowed"});
}

bool ServerSession::take_bytes(std::size_t count) {
  const auto n = static_cast<std::int64_t>(count);
  if (count == 0 || bytes_.take(limits_.bytes, n, now_)) return true;
  if (version_ == Version::v5) {
    fail({reason::quota_exceeded, "more bytes a second than allowed"});
    return false;
  }
  bytes_.charge(limits_.bytes, n, now_);
  paused_until_ = bytes_.ready_at(limits_.bytes, 0, now_);
  return true;
}

// 3.1.1 alone: the packet stays where it is until its turn.
bool ServerSession::must_wait(const Frame& frame) {
  const bool is_message = frame.type == PacketType::publish || frame.type == PacketType::subscribe ||
                          frame.type == PacketType::unsubscribe || frame.type == PacketType::pingreq;
  if (version_ == Version::v5 || state_ != State::connected || !is_message) return false;
  if (messages_.has(limits_.messages, 1, now_)) return false;
  paused_until_ = std::max(paused_until_.value_or(now_), messages_.ready_at(limits_.messages, 1, now_));
  return true;
}

bool ServerSession::take_message() {
  if (messages_.take(limits_.messages, 1, now_)) return true;
  fail({reason::message_rate_too_high, "more messages a second than allowed"});
  return false;
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
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp:
      return handle_acknowledgement(frame);
    case PacketType::disconnect:
      return handle_disconnect(frame);
    case PacketType::auth:
      return handle_auth(frame);
    case PacketType::pingreq:
      if (!decode_empty(frame, failure)) return fail(failure);
      if (take_message()) output_ += encode_pingresp();
      return;
    default:
      return fail({reason::protocol_error, "a packet that only a server sends"});
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
  const Properties& p = packet->properties;
  version_ = packet->version;
  wants_reasons_ = p.request_problem_information.value_or(1) == 1;
  outbound_.set_receive_maximum(p.receive_maximum.value_or(65'535));
  client_packet_bytes_max_ = p.maximum_packet_size.value_or(0);
  asked_for_session_expiry_ = p.session_expiry_interval.value_or(0) != 0;
  const std::uint16_t asked = packet->keep_alive_seconds;
  keep_alive_seconds_ = asked == 0 || asked > limits_.keep_alive_seconds_max ? limits_.keep_alive_seconds_max : asked;
  keep_alive_was_changed_ = keep_alive_seconds_ != asked;
  if (version_ == Version::v311 && asked == 0) keep_alive_seconds_ = 0;  // 3.1.1 cannot be told; TCP keep-alive must do
  state_ = State::deciding;
  if (p.authentication_method) return refuse(reason::bad_authentication_method);
  // Section 3.2.2.3.5. 3.1.1 cannot be told that there is no retaining: the flag then means nothing, as in its PUBLISH.
  if (packet->will && packet->will->retain && version_ == Version::v5) return refuse(reason::retain_not_supported);
  // 3.1.1 section 3.1.3.1: who gives no name has no session to keep.
  if (packet->client_id.empty() && version_ == Version::v311 && !packet->clean_start)
    return refuse(reason::client_identifier_not_valid);
  if (packet->will) will_ = std::make_unique<StoredWill>(keep(*packet->will));
  handler_.on_connect(*packet);
}

// Section 4.12: without a method in the CONNECT, and none is accepted there, an AUTH is a protocol error.
void ServerSession::handle_auth(const Frame& frame) {
  Failure failure;
  if (version_ == Version::v311) return fail({reason::malformed_packet, "packet type 15"});
  if (!decode_auth(frame, failure)) return fail(failure);
  fail({reason::protocol_error, "an AUTH, although no method was agreed"});
}

void ServerSession::handle_disconnect(const Frame& frame) {
  Failure failure;
  const auto packet = decode_disconnect(frame, version_, failure);
  if (!packet) return fail(failure);
  const bool is_of_a_client = may_carry(PacketType::disconnect, Sender::client, packet->reason_code);
  if (version_ == Version::v5 && !is_of_a_client)
    return fail({reason::protocol_error, "a reason code that only a server gives"});
  // Section 3.14.2.2.2: an expiry of 0 cannot be changed any more.
  if (!asked_for_session_expiry_ && packet->properties.session_expiry_interval.value_or(0) != 0)
    return fail({reason::protocol_error, "a session expiry interval that the CONNECT did not have"});
  state_ = State::ended;
  ending_ = {Ending::By::client, packet->reason_code, false};
  handler_.on_end({}, true);
}

// What can be left out is left out of one that is too large for the client (sections 3.2.2.3.9 and 3.2.2.3.10).
void ServerSession::send_connack(ConnackOptions options) {
  std::string packet = encode_connack(version_, options);
  if (!fits(packet)) {
    options.user.clear();
    options.reason_string = {};
    packet = encode_connack(version_, options);
  }
  if (fits(packet)) output_ += packet;
}

void ServerSession::accept(UserProperties user_properties, std::string_view assigned_client_id) {
  if (state_ != State::deciding) return;
  ConnackOptions options;
  options.receive_maximum = limits_.receive_maximum;
  options.topic_alias_maximum = limits_.topic_alias_maximum;
  options.maximum_packet_size = static_cast<std::uint32_t>(limits_.packet_bytes_max);
  options.assigned_client_id = assigned_client_id;
  if (keep_alive_was_changed_) options.server_keep_alive = keep_alive_seconds_;
  if (asked_for_session_expiry_) options.session_expiry_interval = 0;
  if (!fits(encode_connack(version_, options)))
    return fail({reason::packet_too_large, "the client takes no packet as large as a CONNACK"});
  options.user = std::move(user_properties);
  state_ = State::connected;
  was_accepted_ = true;
  send_connack(std::move(options));
  if (!feeding_) feed({}, now_);  // what came behind the CONNECT
}

void ServerSession::refuse(std::uint8_t reason_code, UserProperties user_properties, std::string_view words) {
  if (state_ != State::deciding && state_ != State::waiting_for_connect) return;
  ConnackOptions options;
  options.reason_code = for_connack(reason_code);
  options.user = std::move(user_properties);
  options.reason_string = words;
  send_connack(std::move(options));
  state_ = State::ended;
  ending_.by = Ending::By::protocol;
}

void ServerSession::disconnect(std::uint8_t reason_code, std::string_view words) {
  if (state_ == State::ended) return;
  if (state_ == State::deciding) return refuse(reason_code);
  if (state_ == State::connected && version_ == Version::v5) {
    const std::uint8_t code = for_disconnect(reason_code);
    std::string packet = encode_disconnect(version_, code, wants_reasons_ ? words : std::string_view());
    // Words that make it too large for the client are left out (section 3.14.2.2.3).
    if (!fits(packet)) packet = encode_disconnect(version_, code);
    if (fits(packet)) output_ += packet;
  }
  state_ = State::ended;
  ending_.by = ended_by(reason_code);
}

void ServerSession::fail(const Failure& failure) {
  if (state_ == State::ended) return;
  if (state_ == State::connected) {
    disconnect(failure.reason_code, failure.text);
  } else if (version_ == Version::v5 || failure.reason_code == reason::unsupported_protocol_version) {
    refuse(failure.reason_code, {}, failure.text);
  }
  state_ = State::ended;
  ending_.by = ended_by(failure.reason_code);
  handler_.on_end(failure, false);
}

std::optional<SteadyTime> ServerSession::deadline() const {
  if (state_ != State::connected || keep_alive_seconds_ == 0) return std::nullopt;
  const SteadyTime due = last_heard_ + std::chrono::duration_cast<SteadyTime>(Seconds(1.5 * keep_alive_seconds_));
  return std::max(due, paused_until_.value_or(due));  // while nothing is read, silence is ours
}

void ServerSession::on_time(SteadyTime now) {
  now_ = now;
  const auto due = deadline();
  if (due && now >= *due) fail({reason::keep_alive_timeout, "keep-alive time-out"});
}

}  // namespace fleetward::mqtt
