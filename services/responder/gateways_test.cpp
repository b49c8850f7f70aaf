#include "services/responder/gateways.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::responder {
namespace {

using fleet::GatewayStanding;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Instant t0 = instant_from_ms(1'800'000'000'000);

fleet::GatewayHeartbeat beat(const std::string& instance, Instant time, std::int64_t start_number = 1) {
  fleet::GatewayHeartbeat h;
  h.instance = instance;
  h.start_number = start_number;
  h.time = time;
  h.lease_end = time + seconds(10);
  return h;
}
fleet::GoneGateway gone(const fleet::GatewayHeartbeat& h) {
  return {h.instance, h.start_number, h.time, "ann", "scrapped", h.time + hours(1)};
}
GatewayStanding standing(const Gateways& g, Instant at) { return g.known(at).at(0).standing; }

TEST(Gateways, ACollectorIsNone) {
  Gateways g;
  auto collector = beat("collector-1", t0);
  collector.collector = true;
  EXPECT_FALSE(g.note(collector, t0));
  EXPECT_THAT(g.known(t0), IsEmpty()) << "no action waits for what lets nobody in";
}

TEST(Gateways, StandByTheirLease) {
  Gateways g;
  EXPECT_TRUE(g.note(beat("a", t0), t0));
  EXPECT_FALSE(g.note(beat("a", t0), t0)) << "a second sign of the same life is no news";
  EXPECT_EQ(standing(g, t0 + seconds(9)), GatewayStanding::live);
  EXPECT_EQ(standing(g, t0 + seconds(10)), GatewayStanding::late);
  EXPECT_EQ(standing(g, t0 + seconds(15)), GatewayStanding::silent);
  EXPECT_EQ(standing(g, t0 + hours(24 * 365)), GatewayStanding::silent) << "time alone proves nothing";
  EXPECT_TRUE(g.note(beat("a", t0 + hours(1)), t0 + hours(1))) << "it is back";
  auto closed = beat("a", t0);
  closed.fail_closed = true;
  g.note(closed, t0);
  EXPECT_EQ(standing(g, t0 + seconds(14)), GatewayStanding::late);
  EXPECT_EQ(standing(g, t0 + seconds(15)), GatewayStanding::closed);
  auto bye = beat("a", t0);
  bye.stopping = true;
  EXPECT_TRUE(g.note(bye, t0));
  EXPECT_THAT(g.known(t0), IsEmpty());
}

TEST(Gateways, OneThatIsDeclaredGoneCountsAgainWhenItIsHeardOf) {
  Gateways g;
  const auto last = beat("a", t0);
  g.note(last, t0);
  g.set_gone({gone(last)});
  EXPECT_EQ(standing(g, t0 + hours(2)), GatewayStanding::gone);
  const auto looked_at = g.known(t0 + hours(2));
  g.set_gone({});
  EXPECT_EQ(looked_at.at(0).gone->actor, "ann") << "what is being looked at does not go with the next look";
  g.set_gone({gone(last)});
  g.note(beat("a", t0 + hours(3)), t0 + hours(3));
  EXPECT_EQ(standing(g, t0 + hours(3)), GatewayStanding::live);
  EXPECT_EQ(standing(g, t0 + hours(4)), GatewayStanding::silent) << "the word was about its life before";
  g.note(beat("a", t0, 2), t0);  // started anew, with a clock that was set back
  EXPECT_EQ(standing(g, t0 + hours(4)), GatewayStanding::silent);
}

TEST(Gateways, SilenceIsNamedInTheSameWordsAsLongAsItIsTheSame) {
  Gateways g;
  EXPECT_EQ(g.silence(t0), "");
  for (const char* name : {"a", "b", "c", "d", "e"}) g.note(beat(name, t0), t0);
  EXPECT_EQ(g.silence(t0 + seconds(12)), "") << "late is not silent";
  const std::string words = g.silence(t0 + minutes(1));
  EXPECT_THAT(words, HasSubstr("a (since 2027"));
  EXPECT_THAT(words, HasSubstr("2 more"));
  EXPECT_THAT(words, HasSubstr("fleetward gateways forget"));
  EXPECT_EQ(words, g.silence(t0 + hours(9)));
  g.set_gone({gone(beat("a", t0))});
  EXPECT_NE(words, g.silence(t0 + hours(9)));
}

TEST(Gateways, AreTestedAtFirstSightAndOnceInAWhile) {
  Gateways g;
  const auto first = beat("a", t0);
  g.note(first, t0);
  EXPECT_THAT(g.distrust(first), HasSubstr("prove nothing yet"));
  EXPECT_THAT(g.take_due(t0, minutes(5), seconds(1)), SizeIs(1));
  EXPECT_THAT(g.take_due(t0, minutes(5), seconds(1)), IsEmpty()) << "it is under test";
  g.note_test(first, std::nullopt, t0);
  EXPECT_THAT(g.take_due(t0, minutes(5), seconds(1)), SizeIs(1)) << "it could not be told";
  g.note_test(first, "", t0);
  EXPECT_EQ(g.distrust(first), "");
  EXPECT_THAT(g.take_due(t0 + seconds(9), minutes(5), seconds(1)), IsEmpty());
  const auto later = beat("a", t0 + minutes(5));
  g.note(later, later.time);
  EXPECT_THAT(g.take_due(later.time, minutes(5), seconds(1)), SizeIs(1));
  g.note_test(later, "it refuses everybody", later.time);
  EXPECT_THAT(g.distrust(later), HasSubstr("it refuses everybody"));
  EXPECT_THAT(g.take_due(later.time + seconds(1), minutes(5), seconds(1)), SizeIs(1)) << "again, and soon";
  g.note_test(later, "", later.time);
  const auto restarted = beat("a", later.time, 2);
  g.note(restarted, later.time);
  EXPECT_THAT(g.distrust(restarted), HasSubstr("prove nothing yet"));
  EXPECT_THAT(g.take_due(later.time, minutes(5), seconds(1)), SizeIs(1));
}

TEST(Gateways, AreOnlySoMany) {
  Gateways g;
  for (std::size_t i = 0; i < Gateways::gateways_max; ++i) g.note(beat(std::to_string(i), t0), t0);
  EXPECT_FALSE(g.is_full());
  g.note(beat("one more", t0), t0);
  EXPECT_TRUE(g.is_full()) << "one that is not known may let anybody in";
  EXPECT_THAT(g.known(t0), SizeIs(Gateways::gateways_max));
}

}  // namespace
}  // namespace fleetward::responder
