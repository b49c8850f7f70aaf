// What the tests of a session share: packets as bytes, a handler that writes down what it hears, both versions.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mqtt/server_session.hpp"

namespace fleetward::mqtt {

inline Bytes bytes(std::initializer_list<int> list) {
  Bytes out;
  for (const int b : list) out.push_back(static_cast<std::uint8_t>(b));
  return out;
}

// A packet as it stands on the wire: first byte, remaining length, body.
inline std::string wire(int first_byte, std::string_view body) {
  std::string out(1, static_cast<char>(first_byte));
  std::size_t n = body.size();
  do {
    out += static_cast<char>((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
    n >>= 7;
  } while (n > 0);
  return out += body;
}
inline std::string text(std::string_view t) {
  return std::string{static_cast<char>(t.size() >> 8), static_cast<char>(t.size() & 0xFF)} += t;
}
inline std::string u16(int n) { return {static_cast<char>(n >> 8), static_cast<char>(n & 0xFF)}; }
inline std::string u32(std::uint32_t n) { return u16(static_cast<int>(n >> 16)) + u16(static_cast<int>(n & 0xFFFF)); }
// A property list with its length (below 16,384).
inline std::string list(std::string_view properties) {
  std::string out;
  if (properties.size() > 0x7F) out += static_cast<char>((properties.size() & 0x7F) | 0x80);
  out += static_cast<char>(properties.size() > 0x7F ? properties.size() >> 7 : properties.size());
  return out += properties;
}
inline std::string connect_packet(std::string_view properties, std::string_view client_id = "dev1", int flags = 2,
                                  std::string_view behind = {}) {
  return wire(0x10, text("MQTT") + std::string{5, static_cast<char>(flags), 0, 10} + list(properties) +
                        text(client_id) + std::string(behind));
}
// PUBLISH of 5 with properties.
inline std::string publish_5(std::string_view topic, std::string_view properties, int qos = 0, int packet_id = 0,
                             std::string_view payload = "x", int more_flags = 0) {
  return wire(0x30 | qos << 1 | more_flags,
              text(topic) + (qos > 0 ? u16(packet_id) : "") + list(properties) + std::string(payload));
}

// The reason code of the DISCONNECT that is all of the output; 0xFF when it is not.
inline std::uint8_t cut_code(std::string_view output) {
  Failure failure;
  const auto frame = next_frame(as_bytes(output), 1 << 20, failure);
  if (!frame || frame->type != PacketType::disconnect || frame->whole.size() != output.size()) return 0xFF;
  return frame->body.empty() ? reason::success : frame->body[0];
}

class Recorder : public ServerSession::Handler {
 public:
  void on_connect(const Connect& packet) override {
    client_ids.emplace_back(packet.client_id);
    if (session != nullptr && accept_at_once) session->accept({}, packet.client_id.empty() ? "given" : "");
  }
  void on_publish(const Publish& packet) override {
    publishes.emplace_back(packet.topic);
    payloads.emplace_back(as_text(packet.payload));
    if (acknowledge_at_once && packet.qos > 0) session->acknowledge(packet.packet_id, code, "because");
    originals.emplace_back(packet.original.begin(), packet.original.end());
  }
  std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) override {
    return filter.starts_with("deny") ? reason::not_authorized : qos;
  }
  void on_unsubscribe(std::string_view) override {}
  void on_end(const Failure& failure, bool by_client) override { ends.emplace_back(failure.reason_code, by_client); }

  ServerSession* session = nullptr;
  bool accept_at_once = true;
  bool acknowledge_at_once = false;
  std::uint8_t code = reason::success;  // of it
  std::vector<std::string> client_ids, publishes, payloads;
  std::vector<Bytes> originals;
  std::vector<std::pair<std::uint8_t, bool>> ends;
};

class SessionTest : public ::testing::TestWithParam<Version> {
 protected:
  // Rates have tests of their own; here nothing is to run into them.
  static SessionLimits limits() {
    SessionLimits l;
    l.messages = {};
    l.bytes = {};
    return l;
  }
  void SetUp() override { recorder_.session = &session_; }
  void feed(std::string_view text) { session_.feed(as_bytes(text), now_); }
  void connect() {
    feed(encode_connect({GetParam(), "dev1", 10, true}));
    output_ = session_.take_output();
  }
  // CONNECT of 5 with these property bytes, and what was answered.
  Connack connect_5(std::string_view properties, std::string_view client_id = "dev1", int flags = 2) {
    feed(connect_packet(properties, client_id, flags));
    const auto out = frames();
    Failure failure;
    const auto connack = out.empty() ? std::nullopt : decode_connack(out[0], Version::v5, failure);
    EXPECT_TRUE(connack) << failure.text;
    return connack.value_or(Connack());
  }
  // The reason code of the DISCONNECT that was sent last, and that the session is over.
  std::uint8_t cut() {
    EXPECT_TRUE(session_.ended());
    const auto out = frames();
    if (out.empty() || out.back().type != PacketType::disconnect) return 0xFF;
    return out.back().body.empty() ? reason::success : out.back().body[0];
  }
  std::vector<PacketType> types() {
    std::vector<PacketType> out;
    for (const Frame& frame : frames()) out.push_back(frame.type);
    return out;
  }
  std::vector<Frame> frames() {
    output_ = session_.take_output();
    std::vector<Frame> out;
    ByteView rest = as_bytes(output_);
    Failure failure;
    while (const auto frame = next_frame(rest, 1 << 20, failure)) {
      out.push_back(*frame);
      rest = rest.subspan(frame->whole.size());
    }
    return out;
  }

  SteadyTime now_{0};
  Recorder recorder_;
  ServerSession session_{recorder_, limits(), now_};
  std::string output_;
};

inline std::string version_name(const ::testing::TestParamInfo<Version>& p) {
  return p.param == Version::v5 ? "v5" : "v311";
}

}  // namespace fleetward::mqtt
