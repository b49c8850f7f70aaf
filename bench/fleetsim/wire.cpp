#include "wire.hpp"

#include <fmt/format.h>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"

namespace fleetsim {

using fleetward::ByteView;
using fleetward::Status;
namespace mqtt = fleetward::mqtt;

namespace {

constexpr std::uint16_t keep_alive_seconds = 60;
constexpr std::size_t packet_bytes_max = 256 * 1024;

// A failure is left to the caller: `failure` tells of it.
WireMessage read_message(const mqtt::Frame& frame, mqtt::Version version, mqtt::Failure& failure) {
  switch (frame.type) {
    case mqtt::PacketType::connack: {
      const auto connack = mqtt::decode_connack(frame, version, failure);
      return {.kind = WireMessage::Kind::connack, .reason_code = connack ? connack->code : 0};
    }
    case mqtt::PacketType::puback: {
      const auto ack = mqtt::decode_acknowledgement(frame, version, failure);
      if (!ack) return {};
      return {.kind = WireMessage::Kind::puback, .reason_code = ack->reason_code, .packet_id = ack->packet_id};
    }
    case mqtt::PacketType::publish: {
      const auto publish = mqtt::decode_publish(frame, version, failure);
      if (!publish) return {};
      return {
          .kind = WireMessage::Kind::publish, .topic = publish->topic, .payload = fleetward::as_text(publish->payload)};
    }
    case mqtt::PacketType::disconnect: {
      const auto disconnect = mqtt::decode_disconnect(frame, version, failure);
      return {.kind = WireMessage::Kind::disconnect, .reason_code = disconnect ? disconnect->reason_code : 0};
    }
    default:
      return {};
  }
}

}  // namespace

std::string Wire::connect(std::string_view client_id) const {
  return mqtt::encode_connect({.version = version_, .client_id = client_id, .keep_alive_seconds = keep_alive_seconds});
}

std::string Wire::subscribe(std::uint16_t packet_id, std::string_view filter) const {
  return mqtt::encode_subscribe(version_, packet_id, filter, 0);
}

std::string Wire::publish(std::uint16_t packet_id, std::string_view topic, std::string_view payload, bool again) const {
  return mqtt::encode_publish(version_, topic, payload, 1, packet_id, again);
}

std::string Wire::ping() const { return mqtt::encode_pingreq(); }
std::string Wire::disconnect() const { return mqtt::encode_disconnect(version_, 0); }

Status Wire::feed(ByteView bytes, const std::function<void(const WireMessage&)>& handle) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  std::size_t done = 0;
  mqtt::Failure failure;
  while (true) {
    const auto frame = mqtt::next_frame(ByteView(buffer_).subspan(done), packet_bytes_max, failure);
    if (!frame) break;
    const WireMessage message = read_message(*frame, version_, failure);
    if (failure.reason_code != 0) break;
    handle(message);
    done += frame->whole.size();
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(done));
  if (buffer_.empty()) fleetward::Bytes().swap(buffer_);  // an idle device holds no buffer
  if (failure.reason_code == 0) return {};
  return {fleetward::ErrorCode::invalid_argument, failure.text};
}

}  // namespace fleetsim
