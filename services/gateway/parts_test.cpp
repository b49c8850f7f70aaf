#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "services/gateway/cloud_counters.hpp"
#include "services/gateway/snapshot.hpp"

namespace fleetward::gateway {
namespace {

using ::testing::ElementsAre;

struct Emitted {
  std::vector<std::pair<std::string, fleet::CloudMetrics>> all;
  CloudCounters::Emit sink() {
    return [this](const std::string& thing, const std::string&, const fleet::CloudMetrics& m) {
      all.emplace_back(thing, m);
    };
  }
};

TEST(CloudCounters, GathersCountSumMinMaxAndNumbersItsDeltas) {
  CloudCounters counters("gw", 7);
  Emitted out;
  counters.message_sent("a", 10);
  counters.message_sent("a", 30);
  counters.emit_urgent(instant_from_ms(10'000), out.sink());
  EXPECT_TRUE(out.all.empty());  // nothing of it is urgent
  counters.emit_due(instant_from_ms(10'000), Millis(5000), out.sink());
  ASSERT_EQ(out.all.size(), 1U);
  const fleet::CloudMetrics& m = out.all[0].second;
  EXPECT_EQ(m.gateway, "gw");
  EXPECT_EQ(m.start_number, 7);
  EXPECT_EQ(m.sequence, 1);
  EXPECT_EQ(m.metrics.at("aws:message-byte-size"), (fleet::MetricDelta{2, 40, 10, 30}));
  EXPECT_EQ(m.metrics.at("aws:num-messages-sent").count, 2);

  counters.message_sent("a", 5);
  counters.emit_due(instant_from_ms(14'999), Millis(5000), out.sink());
  EXPECT_EQ(out.all.size(), 1U);  // not yet
  counters.emit_due(instant_from_ms(15'000), Millis(5000), out.sink());
  ASSERT_EQ(out.all.size(), 2U);
  EXPECT_EQ(out.all[1].second.sequence, 2);
  EXPECT_EQ(out.all[1].second.metrics.at("aws:num-messages-sent").count, 1);
  counters.emit_due(instant_from_ms(60'000), Millis(5000), out.sink());
  EXPECT_EQ(out.all.size(), 2U);  // nothing to tell, nothing told
}

TEST(CloudCounters, UrgentNewsGoAtOnceButNotInAFlood) {
  CloudCounters counters("gw", 1);
  Emitted out;
  counters.connection_attempt("a", "id-a", "10.0.0.1");
  counters.connected("a");
  counters.emit_urgent(instant_from_ms(1000), out.sink());
  ASSERT_EQ(out.all.size(), 1U);
  EXPECT_TRUE(out.all[0].second.connected);
  EXPECT_THAT(out.all[0].second.source_addresses, ElementsAre("10.0.0.1"));
  for (int i = 0; i < 100; ++i) {
    counters.authorization_failure("a");
    counters.emit_urgent(instant_from_ms(1001 + i), out.sink());
  }
  EXPECT_EQ(out.all.size(), 1U);
  counters.emit_due(instant_from_ms(1250), Millis(5000), out.sink());
  ASSERT_EQ(out.all.size(), 2U);
  EXPECT_EQ(out.all[1].second.metrics.at("aws:num-authorization-failures").count, 100);
  counters.disconnected("a");
  counters.emit_urgent(instant_from_ms(2000), out.sink());
  ASSERT_EQ(out.all.size(), 3U);
  EXPECT_FALSE(out.all[2].second.connected);
}

TEST(CloudCounters, ForgetsWhoLeftAndNeverRepeatsANumber) {
  CloudCounters counters("gw", 1);
  Emitted out;
  counters.connected("a");
  counters.connected("b");
  counters.disconnected("a");
  counters.emit_due(instant_from_ms(1'000'000), Millis(5000), out.sink());
  counters.emit_due(instant_from_ms(2'000'000), Millis(5000), out.sink());
  EXPECT_EQ(counters.devices(), 1U);  // b is connected
  counters.connected("a");
  counters.emit_urgent(instant_from_ms(2'000'001), out.sink());
  std::int64_t last = 0;
  for (const auto& [thing, m] : out.all) {
    EXPECT_GT(m.sequence, last);
    last = m.sequence;
  }
  EXPECT_EQ(out.all.back().first, "a");
}

TEST(CloudCounters, AClockSetBackDelaysNothing) {
  CloudCounters counters("gw", 1);
  Emitted out;
  counters.connected("a");
  counters.emit_urgent(instant_from_ms(1'000'000), out.sink());
  counters.disconnected("a");
  counters.emit_urgent(instant_from_ms(5), out.sink());
  EXPECT_EQ(out.all.size(), 2U);
}

class SnapshotTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  fleet::AccessRecord held(const std::string& thing, std::int64_t version) {
    return {thing, "id", version, {{"a", fleet::HoldLevel::isolate, "r", "x", Instant{}, Instant{}}}};
  }
  std::string file() const { return folder_ + "/tables.jsonl"; }
  std::string folder_ = (std::filesystem::temp_directory_path() / fmt::format("fw_snapshot_{}", ::getpid())).string();
  access::HoldTable holds_;
  access::CertificateTable certificates_;
};

TEST_F(SnapshotTest, KeepsWhatWasWrittenAndAppended) {
  EXPECT_EQ(Snapshot::read(folder_).error().code, ErrorCode::not_found);
  holds_.apply(held("a", 1));
  certificates_.apply({std::string(64, 'f'), "a", "id", std::string(64, 'e'), "01", fleet::CertificateStatus::active,
                       instant_from_ms(9), 3});
  Snapshot snapshot(folder_);
  ASSERT_TRUE(snapshot.write(holds_, certificates_, instant_from_ms(5)).ok());
  snapshot.append(held("b", 2));
  snapshot.in_step(instant_from_ms(6));
  ASSERT_TRUE(snapshot.sync().ok());
  const auto kept = Snapshot::read(folder_);
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_THAT(kept->access, ElementsAre(held("a", 1), held("b", 2)));
  ASSERT_EQ(kept->certificates.size(), 1U);
  EXPECT_EQ(kept->certificates[0].version, 3);
  EXPECT_EQ(kept->in_step, instant_from_ms(6));
}

TEST_F(SnapshotTest, ACutLastLineIsIgnoredADamagedOneIsNot) {
  Snapshot snapshot(folder_);
  holds_.apply(held("a", 1));
  ASSERT_TRUE(snapshot.write(holds_, certificates_, instant_from_ms(5)).ok());
  std::ofstream(file(), std::ios::app) << "{\"access\":{\"thi";
  const auto kept = Snapshot::read(folder_);
  ASSERT_TRUE(kept.ok()) << kept.error().message;
  EXPECT_EQ(kept->access.size(), 1U);
  std::ofstream(file(), std::ios::app) << "\n{\"inStep\":7}\n";
  EXPECT_EQ(Snapshot::read(folder_).error().code, ErrorCode::corrupted);
}

TEST_F(SnapshotTest, IsForItsOwnerOnly) {
  Snapshot snapshot(folder_);
  ASSERT_TRUE(snapshot.write(holds_, certificates_, instant_from_ms(5)).ok());
  const auto mode = std::filesystem::status(file()).permissions() & std::filesystem::perms::mask;
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(SnapshotTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_) << "a file in the way";
  EXPECT_FALSE(Snapshot(folder_).write(holds_, certificates_, instant_from_ms(5)).ok());
}

}  // namespace
}  // namespace fleetward::gateway
