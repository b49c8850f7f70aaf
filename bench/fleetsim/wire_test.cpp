#include "wire.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace fleetsim {
namespace {

using fleetward::Bytes;
using testing::ElementsAre;
using Kind = WireMessage::Kind;

struct Seen {
  Kind kind;
  int code;
  int packet_id;
  std::string topic;
  std::string payload;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::vector<Seen> feed(Wire& wire, const Bytes& bytes, std::size_t step, bool* good = nullptr) {
  std::vector<Seen> seen;
  bool all_good = true;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const auto part = fleetward::ByteView(bytes).subspan(at, std::min(step, bytes.size() - at));
    const auto fed = wire.feed(part, [&](const WireMessage& m) {
      seen.push_back({m.kind, m.reason_code, m.packet_id, std::string(m.topic), std::string(m.payload)});
    });
    all_good = all_good && fed.ok();
  }
  if (good != nullptr) *good = all_good;
  return seen;
}

TEST(Wire, ReadsWholeMessagesHoweverTheBytesCome) {
  const Bytes bytes{0x20, 3, 0,    0x8A, 0,                   // CONNACK, refused
                    0x40, 2, 0,    7,                         // PUBACK
                    0x40, 4, 0,    8,    0x87, 0,             // PUBACK, not authorized
                    0x30, 7, 0,    1,    't',  2, 1, 1, 'p',  // PUBLISH with a payload format
                    0xD0, 0,                                  // PINGRESP
                    0xE0, 2, 0x98, 0};                        // DISCONNECT
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, bytes.size()}) {
    Wire wire(fleetward::mqtt::Version::v5);
    EXPECT_THAT(feed(wire, bytes, step),
                ElementsAre(Seen{Kind::connack, 0x8A, 0, "", ""}, Seen{Kind::puback, 0, 7, "", ""},
                            Seen{Kind::puback, 0x87, 8, "", ""}, Seen{Kind::publish, 0, 0, "t", "p"},
                            Seen{Kind::other, 0, 0, "", ""}, Seen{Kind::disconnect, 0x98, 0, "", ""}));
  }
}

TEST(Wire, WhatIsNotMqttIsAnError) {
  const std::vector<Bytes> cases{
      {0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01},  // length of five bytes
      {0x30, 0xFF, 0xFF, 0xFF, 0x7F},        // 256 MiB
      {0x30, 2, 0, 9},                       // topic longer than the packet
      {0x40, 1, 0},                          // PUBACK without its id
  };
  for (const Bytes& bytes : cases) {
    Wire wire(fleetward::mqtt::Version::v5);
    bool good = true;
    EXPECT_THAT(feed(wire, bytes, bytes.size(), &good), ElementsAre());
    EXPECT_FALSE(good);
  }
}

}  // namespace
}  // namespace fleetsim
