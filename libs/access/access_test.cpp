#include <gtest/gtest.h>

#include "access/tables.hpp"
#include "access/topic_policy.hpp"

namespace fleetward::access {
namespace {

using fleet::HoldLevel;

fleet::AccessRecord record(std::int64_t version, std::vector<HoldLevel> levels) {
  fleet::AccessRecord r{"dev1", "id", version, {}};
  for (const HoldLevel level : levels) r.holds.push_back({fmt::format("a{}", r.holds.size()), level, "", "", {}, {}});
  return r;
}

TEST(HoldTable, StrictestCountsAndOldRecordsAreIgnored) {
  HoldTable table;
  EXPECT_FALSE(table.level("dev1"));
  EXPECT_TRUE(table.apply(record(2, {HoldLevel::restrict, HoldLevel::isolate})));
  EXPECT_EQ(table.level("dev1"), HoldLevel::isolate);
  EXPECT_FALSE(table.apply(record(2, {}))) << "not newer";
  EXPECT_FALSE(table.apply(record(1, {})));
  EXPECT_EQ(table.held(), 1U);
  EXPECT_TRUE(table.apply(record(3, {HoldLevel::restrict})));
  EXPECT_FALSE(keeps_out(table.level("dev1")));
  EXPECT_TRUE(table.apply(record(4, {})));
  EXPECT_FALSE(table.level("dev1"));
  EXPECT_EQ(table.held(), 0U);
  EXPECT_FALSE(table.level("dev10"));
}

TEST(Admit, EachStateHasItsAnswer) {
  const CertificateTable table;
  fleet::CertificateRecord c{std::string(64, 'a'),  "dev1", "id", "", "01", fleet::CertificateStatus::active,
                             instant_from_ms(1000), 1};
  EXPECT_EQ(table.admit(&c, instant_from_ms(0)), Admission::admitted);
  EXPECT_EQ(table.admit(&c, instant_from_ms(1000)), Admission::expired);
  EXPECT_EQ(table.admit(nullptr, instant_from_ms(0)), Admission::unknown);
  c.status = fleet::CertificateStatus::revoked;
  EXPECT_EQ(table.admit(&c, instant_from_ms(0)), Admission::revoked);
  c.status = fleet::CertificateStatus::inactive;
  EXPECT_EQ(table.admit(&c, instant_from_ms(0)), Admission::inactive);
  c.status = fleet::CertificateStatus::active;
  c.thing.clear();
  EXPECT_EQ(table.admit(&c, instant_from_ms(0)), Admission::unattached);
}

TEST(Admit, OneThatWasTakenInIsAsGoodAsItsAuthority) {
  const std::string theirs(64, 'c'), others(64, 'd');
  fleet::CertificateRecord c{std::string(64, 'a'),  "dev1", "id", theirs, "01", fleet::CertificateStatus::active,
                             instant_from_ms(1000), 1,      true};
  CertificateTable table;
  const auto set = [&](const std::string& id, fleet::AuthorityStatus status, std::int64_t version) {
    return table.apply(
        fleet::AuthorityRecord{id, status == fleet::AuthorityStatus::deleted ? "" : "PEM", status, version});
  };
  const auto now = instant_from_ms(0);
  EXPECT_EQ(table.admit(&c, now), Admission::authority_inactive) << "its authority was never heard of";
  EXPECT_TRUE(set(others, fleet::AuthorityStatus::active, 1));
  EXPECT_EQ(table.admit(&c, now), Admission::authority_inactive) << "another one's standing is not its own";
  EXPECT_TRUE(set(theirs, fleet::AuthorityStatus::active, 1));
  EXPECT_EQ(table.admit(&c, now), Admission::admitted);
  EXPECT_TRUE(set(theirs, fleet::AuthorityStatus::inactive, 2));
  EXPECT_FALSE(set(theirs, fleet::AuthorityStatus::active, 2)) << "not newer";
  EXPECT_EQ(table.admit(&c, now), Admission::authority_inactive);
  EXPECT_TRUE(set(theirs, fleet::AuthorityStatus::active, 3));
  EXPECT_EQ(table.admit(&c, now), Admission::admitted);
  EXPECT_TRUE(set(theirs, fleet::AuthorityStatus::deleted, 4));
  EXPECT_EQ(table.admit(&c, now), Admission::authority_inactive);
  c.status = fleet::CertificateStatus::revoked;
  EXPECT_EQ(table.admit(&c, now), Admission::revoked);
  c.status = fleet::CertificateStatus::active;
  c.registered = false;
  EXPECT_EQ(table.admit(&c, now), Admission::admitted) << "ours";
}

TEST(TopicPolicy, OwnTopicsOnly) {
  EXPECT_EQ(publish_use("dev1", {}, "$aws/things/dev1/defender/metrics/json"), TopicUse::report_json);
  EXPECT_EQ(publish_use("dev1", {}, "$aws/things/dev10/defender/metrics/json"), TopicUse::refused);
  EXPECT_EQ(publish_use("dev10", {}, "$aws/things/dev1/defender/metrics/json"), TopicUse::refused);
  EXPECT_EQ(publish_use("dev1", {}, "$aws/things/dev1/defender/metrics/json/accepted"), TopicUse::refused);
  EXPECT_EQ(publish_use("dev1", {}, "$aws/things/dev1/defender/metrics/json/"), TopicUse::refused);
  EXPECT_EQ(publish_use("dev1", {}, "$aws/things/dev1/defender/metrics/cbor"), TopicUse::report_cbor);
  EXPECT_EQ(accepted_topic("dev1", TopicUse::report_cbor), "$aws/things/dev1/defender/metrics/cbor/accepted");
  EXPECT_EQ(rejected_topic("dev1"), "$aws/things/dev1/defender/metrics/json/rejected");
  EXPECT_EQ(publish_use("dev1", HoldLevel::restrict, "$aws/things/dev1/defender/metrics/json"), TopicUse::refused);
}

TEST(TopicPolicy, SubscriptionsToOwnRepliesOnly) {
  EXPECT_TRUE(may_subscribe("dev1", {}, "$aws/things/dev1/defender/metrics/json/accepted"));
  EXPECT_FALSE(may_subscribe("dev1", {}, "$aws/things/dev10/defender/metrics/json/accepted"));
  EXPECT_FALSE(may_subscribe("dev1", {}, "$aws/things/dev1/defender/metrics/json"));
  EXPECT_FALSE(may_subscribe("dev1", {}, "#"));
  EXPECT_FALSE(may_subscribe("dev1", HoldLevel::restrict, "$aws/things/dev1/defender/metrics/json/accepted"));
  EXPECT_TRUE(may_subscribe("dev1", HoldLevel::restrict, "$aws/things/dev1/jobs/notify"));
}

}  // namespace
}  // namespace fleetward::access
