#include "mqtt/client_session.hpp"

namespace fleetward::mqtt {
namespace {

constexpr std::size_t packet_ids = 65'535;

// What a server says of a refusal, made fit to be shown.
Failure refusal(std::string_view what, std::uint8_t code, const Properties& properties) {
  std::string words = fmt::format("{} with {:#04x}", what, code);
  if (properties.reason_string) words += ": " + printable(*properties.reason_string);
  return {code, std::move(words)};
}

std::uint8_t for_disconnect(std::uint8_t code) {
  return may_carry(PacketType::disconnect, Sender::client, code) ? code : reason::unspecified_error;
}

}  // namespace

ClientSession::ClientSession(Handler& handler, ClientOptions options, SteadyTime now)
    : handler_(handler), options_(std::move(options)), started_(now), last_sent_(now), now_(now) {
  ConnectOptions connect;
  connect.client_id = options_.client_id;
  connect.keep_alive_seconds = options_.keep_alive_seconds;
  connect.clean_start = false;
  if (options_.username) connect.username = *options_.username;
  if (options_.password) connect.password = *options_.password;
  connect.session_expiry_seconds = options_.session_expiry_seconds;
  connect.receive_maximum = options_.receive_maximum;
  connect.maximum_packet_size = options_.packet_bytes_max;
  output_ = encode_connect(connect);
}

void ClientSession::feed(ByteView bytes, SteadyTime now) {
  if (state_ == State::ended) return;
  now_ = now;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (std::exchange(feeding_, true)) return;  // called from within a handler
  std::size_t used = 0;
  while (state_ != State::ended) {
    Failure failure;
    const auto frame = next_frame(ByteView(buffer_).subspan(used), options_.packet_bytes_max, failure);
    if (failure.reason_code != reason::success) fail(failure);
    if (!frame) break;
    used += frame->whole.size();
    pinged_ = SteadyTime{0};
    handle(*frame);
  }
  feeding_ = false;
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(used));
}

void ClientSession::handle(const Frame& frame) {
  if (state_ == State::connecting && frame.type != PacketType::connack) {
    return fail({reason::protocol_error, "the first packet is no CONNACK"});
  }
  Failure failure;
  switch (frame.type) {
    case PacketType::connack:
      return handle_connack(frame);
    case PacketType::suback:
      return handle_suback(frame);
    case PacketType::publish:
      return handle_publish(frame);
    case PacketType::disconnect:
      return handle_disconnect(frame);
    case PacketType::pingresp:
      if (!decode_empty(frame, failure)) fail(failure);
      return;
    default:
      return fail({reason::protocol_error, "a packet that answers nothing that was sent"});
  }
}

void ClientSession::handle_connack(const Frame& frame) {
  if (state_ != State::connecting) return fail({reason::protocol_error, "a second CONNACK"});
  Failure failure;
  const auto packet = decode_connack(frame, Version::v5, failure);
  if (!packet) return fail(failure);
  if (packet->code != reason::success)
    return end(refusal("CONNECT was refused", packet->code, packet->properties), true);
  const Properties& p = packet->properties;
  if (p.maximum_qos.value_or(2) == 0)
    return fail({reason::qos_not_supported, "the server has no QoS 1: nothing could be acknowledged"});
  if (p.shared_available.value_or(1) == 0)
    return fail({reason::shared_subscriptions_not_supported, "the server has no shared subscriptions"});
  // One that would have us ping less often, or never, does not keep us from noticing that it is gone.
  if (p.server_keep_alive.value_or(0) != 0)
    options_.keep_alive_seconds = std::min(options_.keep_alive_seconds, *p.server_keep_alive);
  session_present_ = packet->session_present;
  state_ = State::subscribing;
  subscribe();
}

// Again on each connection: the server may have lost the session, or the filters have changed.
void ClientSession::subscribe() {
  for (std::size_t i = 0; i < options_.filters.size(); ++i)
    output_ += encode_subscribe(Version::v5, static_cast<std::uint16_t>(i + 1), options_.filters[i], 1);
  last_sent_ = now_;
}

void ClientSession::handle_suback(const Frame& frame) {
  Failure failure;
  const auto packet = decode_suback(frame, Version::v5, failure);
  if (!packet) return fail(failure);
  if (state_ != State::subscribing || packet->packet_id != granted_ + 1 || packet->codes.size() != 1)
    return fail({reason::protocol_error, "a SUBACK that answers nothing that was sent"});
  const std::string& filter = options_.filters[granted_];
  const std::uint8_t code = packet->codes[0];
  if (code >= 0x80) return fail(refusal(fmt::format("the filter {} was refused", filter), code, packet->properties));
  if (code == 0)
    return fail({reason::qos_not_supported, fmt::format("the filter {} is granted with QoS 0 alone", filter)});
  if (++granted_ < options_.filters.size()) return;
  state_ = State::ready;
  handler_.on_ready(session_present_);
}

void ClientSession::handle_publish(const Frame& frame) {
  Failure failure;
  const auto packet = decode_publish(frame, Version::v5, failure);
  if (!packet) return fail(failure);
  if (packet->qos == 2) return fail({reason::qos_not_supported, "a publish of QoS 2 for a subscription of QoS 1"});
  if (packet->properties.topic_alias)
    return fail({reason::topic_alias_invalid, "a topic alias, of which there are none"});
  if (packet->qos == 0) return handler_.on_publish(*packet);
  switch (inbound_.take(*packet, packet_ids)) {
    case InboundPublishes::Taken::deliver:
      return handler_.on_publish(*packet);
    case InboundPublishes::Taken::still_pending:
      return;
    default:
      return fail({reason::protocol_error, "a packet identifier that is in use"});
  }
}

void ClientSession::handle_disconnect(const Frame& frame) {
  Failure failure;
  const auto packet = decode_disconnect(frame, Version::v5, failure);
  if (!packet) return fail(failure);
  end(refusal("the server disconnected", packet->reason_code, packet->properties), true);
}

void ClientSession::acknowledge(std::uint16_t packet_id) {
  if (state_ == State::ended) return;
  inbound_.acknowledge(packet_id, reason::success, {});
  while (const auto answer = inbound_.next_answer()) {
    output_ += encode_acknowledgement(answer->type, Version::v5, answer->packet_id);
    last_sent_ = now_;
  }
}

SteadyTime ClientSession::ping_at() const { return last_sent_ + std::chrono::seconds(options_.keep_alive_seconds); }

std::optional<SteadyTime> ClientSession::deadline() const {
  if (state_ == State::ended) return std::nullopt;
  if (state_ != State::ready) return started_ + options_.ready_limit;
  if (pinged_ != SteadyTime{0}) return pinged_ + options_.ping_limit;
  return ping_at();
}

void ClientSession::on_time(SteadyTime now) {
  now_ = now;
  const auto due = deadline();
  if (!due || now < *due) return;
  if (state_ != State::ready)
    return fail({reason::keep_alive_timeout, "the server did not answer CONNECT and SUBSCRIBE"});
  if (pinged_ != SteadyTime{0}) return fail({reason::keep_alive_timeout, "the server does not answer"});
  output_ += encode_pingreq();
  last_sent_ = pinged_ = now;
}

void ClientSession::excuse_silence(SteadyTime now) {
  now_ = now;
  if (pinged_ != SteadyTime{0}) pinged_ = now;
}

void ClientSession::disconnect() {
  if (state_ == State::ended) return;
  output_ += encode_disconnect(Version::v5, reason::success);
  end({reason::success, "we disconnected"}, false);
}

void ClientSession::fail(const Failure& failure) {
  if (state_ == State::ended) return;
  if (state_ != State::connecting) output_ += encode_disconnect(Version::v5, for_disconnect(failure.reason_code));
  end(failure, false);
}

void ClientSession::end(const Failure& failure, bool by_server) {
  state_ = State::ended;
  handler_.on_end(failure, by_server);
}

}  // namespace fleetward::mqtt
