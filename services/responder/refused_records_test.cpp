// What gateways say they refused: it pages once, whoever says it how often, and the true record comes last again.
#include "fleet/refused_record.hpp"
#include "repository/governor_repository.hpp"
#include "services/responder/test_world.hpp"

namespace fleetward::responder {
namespace {

using ::testing::SizeIs;

class RefusedRecordsTest : public ResponderTest {
 protected:
  void tell(const std::string& id, const std::string& gateway) {
    fleet::RefusedRecord r;
    r.id = id;
    r.gateway = gateway;
    r.topic = fleet::topic::access;
    r.key = "cam";
    r.version = "99";
    r.reason = "unsigned";
    r.time = now();
    const fleet::CloudEvent event{id,    "/test", std::string(fleet::event_type::refused_record),
                                  r.key, r.time,  to_json(r)};
    append({std::string(fleet::topic::enforcement), r.key, to_json_text(event), {}, std::nullopt});
  }
  void append(bus::OutRecord record) {
    std::promise<bool> done;
    bus_->append({std::move(record)}, [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  std::vector<fleet::GovernorEvent> told() {
    return in_store<std::vector<fleet::GovernorEvent>>(
        [](store::Transaction& tx) { return repository::governor_log(tx, 100); });
  }
  // How many records the topic has had.
  std::int64_t written(std::string_view topic) {
    std::promise<std::int64_t> out;
    async::Scope scope(loop_, "count");
    scope.spawn("count", count_records(std::string(topic), out));
    const std::int64_t count = out.get_future().get();
    EXPECT_TRUE(scope.join(Millis(5'000)));
    return count;
  }
  async::Task<void> count_records(std::string topic, std::promise<std::int64_t>& out) {
    const auto ranges = co_await bus_->ranges(loop_, topic);
    out.set_value(ranges ? ranges->at(0).end : -1);
  }
};

TEST_F(RefusedRecordsTest, AForgedRecordIsToldOnceAndOvertakenByTheTrueOne) {
  start();
  const Action held = act("cam");
  reached(held.id, ActionState::in_effect);
  const std::int64_t before = written(fleet::topic::access);
  for (const char* gateway : {"gw1", "gw2", "gw1"}) tell("forged-1", gateway);
  ASSERT_TRUE(eventually([&] { return written(fleet::topic::access) == before + 1; }));
  tell("forged-2", "gw2");
  ASSERT_TRUE(eventually([&] { return written(fleet::topic::access) == before + 2; }));
  ASSERT_THAT(told(), SizeIs(1));
  EXPECT_EQ(told()[0].condition.kind, fleet::GovernorKind::forged_record);
  EXPECT_EQ(told()[0].condition.subject, fleet::topic::access);
  EXPECT_EQ(action(held.id).state, ActionState::in_effect);
}

TEST_F(RefusedRecordsTest, WhatIsNoReportOfOneStopsNothing) {
  start();
  const std::string type(fleet::event_type::refused_record);
  const fleet::CloudEvent empty{"e", "/test", type, "cam", now(), json::Value::object()};
  append({std::string(fleet::topic::enforcement), "cam", to_json_text(empty), {}, std::nullopt});
  const std::int64_t before = written(fleet::topic::access);
  tell("forged-1", "gw1");
  ASSERT_TRUE(eventually([&] { return written(fleet::topic::access) == before + 1; }))
      << "nothing was said of it: gone";
  EXPECT_THAT(told(), SizeIs(1));
}

}  // namespace
}  // namespace fleetward::responder
