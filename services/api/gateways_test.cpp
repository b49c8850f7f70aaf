// /v1/gateways: how they stand, and who may say that one is no more.
#include <gmock/gmock.h>

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using ::testing::HasSubstr;

class GatewaysTest : public ApiTest {
 protected:
  // A sign of life whose lease is over since then, and that the API has read it.
  void heard(const std::string& instance, Millis over) {
    fleet::GatewayHeartbeat h;
    h.instance = instance;
    h.start_number = 7;
    h.time = now_ + Millis(++beats_);
    h.lease_end = now_ - over;
    const fleet::CloudEvent event{"b", "/t", std::string(fleet::event_type::gateway), instance, h.time, to_json(h)};
    std::promise<bool> done;
    bus_->append({{std::string(fleet::topic::gateways), instance, to_json_text(event), {}, std::nullopt}},
                 [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (gateway(instance).value("time", std::int64_t{0}) != to_ms(h.time))
      ASSERT_LT(std::chrono::steady_clock::now(), until);
  }
  json::Value gateway(const std::string& instance) {
    const Answer answer = call("GET", "/v1/gateways");
    for (const auto& g : answer.body["gateways"]) {
      if (g["instance"] == instance) return g;
    }
    return json::Value::object();
  }
  Answer gone(const std::string& instance) {
    return call_as(approver_, "POST", "/v1/gateways/" + instance + "/gone", R"({"reason":"scrapped"})");
  }
  Instant now_ = async::LoopThread("clock").now();
  int beats_ = 0;
};

TEST_F(GatewaysTest, OneThatIsSilentIsDeclaredGoneByWhoMayApprove) {
  heard("gw-1", std::chrono::hours(1));
  EXPECT_EQ(gateway("gw-1")["standing"], "silent");
  EXPECT_EQ(call_as(operator_, "POST", "/v1/gateways/gw-1/gone", R"({"reason":"scrapped"})").status, 403);
  EXPECT_EQ(call_as(approver_, "POST", "/v1/gateways/gw-1/gone", "{}").status, 400) << "a reason is needed";
  EXPECT_EQ(gateway("gw-1")["standing"], "silent");
  const Answer answer = gone("gw-1");
  EXPECT_EQ(answer.status, 200) << answer.text();
  EXPECT_EQ(answer.body["standing"], "gone");
  EXPECT_EQ(gateway("gw-1")["gone"]["why"], "scrapped");
  EXPECT_EQ(gone("gw-1").status, 200) << "again is no error";
  heard("gw-1", std::chrono::hours(1));
  EXPECT_EQ(gateway("gw-1")["standing"], "silent") << "it was heard of again";
}

TEST_F(GatewaysTest, OneThatLivesOrIsNotKnownCannotBe) {
  heard("gw-1", -std::chrono::hours(1));
  EXPECT_EQ(gateway("gw-1")["standing"], "live");
  const Answer answer = gone("gw-1");
  EXPECT_EQ(answer.status, 409) << answer.text();
  EXPECT_THAT(answer.text(), HasSubstr("gives signs of life"));
  EXPECT_EQ(gone("gw-2").status, 404);
}

}  // namespace
}  // namespace fleetward::api
