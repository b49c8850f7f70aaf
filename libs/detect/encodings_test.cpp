// Reports are judged by what they say, whatever their encoding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::LogRecord;
using testing::World;

class EncodingsTest : public ::testing::Test {
 protected:
  EncodingsTest() {
    world_.profile("p", R"([{"name":"ports","metric":"aws:listening-tcp-ports","criteria":
        {"comparisonOperator":"in-port-set","value":{"ports":[22]}}}])");
  }
  void say(std::string value, std::string content_type) {
    LogRecord record;
    record.append_ms = world_.now_ms();
    record.kind = "report";
    record.key = "v1";
    record.value = std::move(value);
    record.content_type = std::move(content_type);
    world_.add(std::move(record));
  }
  static std::string json_text(int port) {
    return World::report_text(fmt::format(R"({{"listening_tcp_ports":{{"ports":[{{"port":{}}}]}}}})", port));
  }
  static std::string cbor(int port) {
    std::string bytes;
    json::Value::to_cbor(*json::parse(json_text(port)), bytes);
    return bytes;
  }
  std::uint64_t count(Outcome outcome) {
    return world_.engine().counters().outcomes[static_cast<std::size_t>(outcome)];
  }
  World world_;
};

TEST_F(EncodingsTest, AnAlarmOfTheOneIsClearedByTheOther) {
  say(cbor(23), "application/cbor");
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 ports"));
  EXPECT_EQ(world_.last().seen, "23");
  say(json_text(22), "application/json");
  EXPECT_THAT(world_.events(), ElementsAre("alarm-cleared v1 ports"));
  EXPECT_EQ(count(Outcome::report_applied), 2U);
}

TEST_F(EncodingsTest, TheContentTypeSaysWhichItIs) {
  say(cbor(23), "application/json");
  say(json_text(23), "application/cbor");
  EXPECT_EQ(count(Outcome::report_rejected_payload), 2U);
  say(cbor(23), "application/x-protobuf");
  EXPECT_EQ(count(Outcome::report_rejected_type), 1U);
  EXPECT_THAT(world_.events(), IsEmpty());
  say(json_text(23), "");
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 ports")) << "without one it is JSON";
}

}  // namespace
}  // namespace fleetward::detect
