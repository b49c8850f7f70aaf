// Table records that no role has signed: nobody is cut or let in by them, and they are told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using fleet::HoldLevel;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SignedRecordsTest : public SnapshotOfGatewayTest {
 protected:
  static std::string hold_text(const std::string& thing, HoldLevel level, std::int64_t version) {
    fleet::AccessRecord r{thing, "id-" + thing, version, {{"action-1", level, "x", "y", {}, {}}}};
    return fleet::to_json_text({"f", "/test", "t", thing, Instant{}, to_json(r)});
  }
  void put(std::string_view topic, const std::string& key, std::optional<std::string> value, std::int64_t version,
           const std::optional<std::string>& signature) {
    bus::Headers headers{{fleet::header::version, std::to_string(version)}};
    if (signature) headers.push_back({fleet::header::signature, *signature});
    append_record({std::string(topic), key, std::move(value), std::move(headers), std::nullopt});
  }
  void forge_hold(const std::string& thing, std::int64_t version, const std::optional<std::string>& signature) {
    put(fleet::topic::access, thing, hold_text(thing, HoldLevel::isolate, version), version, signature);
  }
  std::vector<fleet::RefusedRecord> refused_records(std::size_t count) {
    std::vector<fleet::RefusedRecord> out;
    eventually([&] { return (out = refused()).size() >= count; });
    return out;
  }
  std::uint64_t refused_total(std::string_view topic, std::string_view reason) {
    return metrics_
        .counter("fleetward_gateway_refused_records_total", "",
                 {{"topic", std::string(topic)}, {"reason", std::string(reason)}})
        .value();
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, SignedRecordsTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(SignedRecordsTest, NobodyIsCutByAForgedHoldAndTheTrueOneStillIs) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  const access::RecordKey other(*crypto::PrivateKey::generate());
  const std::string text = hold_text("dev1", HoldLevel::isolate, 1'000'000);
  const access::SignedContent content{fleet::topic::access, "dev1", "1000000", text};
  forge_hold("dev1", 1'000'000, std::nullopt);
  forge_hold("dev1", 1'000'000, *other.sign(content));
  forge_hold("dev1", 1'000'000, *pki_key_.sign(content));
  forge_hold("dev1", 1'000'000, "x");
  const auto told = refused_records(4);
  ASSERT_THAT(told, SizeIs(4));
  std::vector<std::string> reasons;
  for (const auto& r : told) {
    reasons.push_back(r.reason);
    EXPECT_EQ(r.topic, fleet::topic::access);
    EXPECT_EQ(r.key, "dev1");
    EXPECT_EQ(r.version, "1000000");
  }
  EXPECT_THAT(reasons, testing::UnorderedElementsAre("unsigned", "unknown_key", "wrong_role", "bad_signature"));
  for (const std::string& reason : reasons) EXPECT_EQ(refused_total(fleet::topic::access, reason), 1U) << reason;
  // It is still there; and a version that somebody made up does not stand in the way of the true one.
  hold("dev1", HoldLevel::isolate, 1);
  device->expect_cut(mqtt::reason::administrative_action);
  EXPECT_THAT(refused(), SizeIs(4));
}

TEST_P(SignedRecordsTest, NobodyIsLetInByAForgedReleaseOrCertificate) {
  hold("dev1", HoldLevel::isolate, 1);
  fleet::AccessRecord free{"dev1", "id-dev1", 2, {}};
  put(fleet::topic::access, "dev1", fleet::to_json_text({"f", "/t", "t", "dev1", Instant{}, to_json(free)}), 2,
      std::nullopt);
  put(fleet::topic::access, "dev1", std::nullopt, 3, std::nullopt);  // takes the hold away
  const Identity stranger = authority_.device("dev9");
  auto certificate = certificate_record(stranger, "dev9", fleet::CertificateStatus::active, 1);
  put(fleet::topic::certificates, stranger.fingerprint,
      fleet::to_json_text({"f", "/t", "t", stranger.fingerprint, Instant{}, to_json(certificate)}), 1, std::nullopt);
  start();
  EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
  EXPECT_NE(client(stranger)->connect("dev9"), 0);
  EXPECT_THAT(refused_records(3), SizeIs(3));
}

TEST_P(SignedRecordsTest, ARecordCannotBeMovedToAnotherKeyAndAnOldOneIsStale) {
  start();
  auto device = client(dev2_);
  ASSERT_EQ(device->connect("dev2"), 0);
  hold("dev1", HoldLevel::isolate, 5);
  hold("dev1", std::nullopt, 6);
  const auto all = records(fleet::topic::access);
  ASSERT_THAT(all, SizeIs(2));
  bus::OutRecord moved{all[0].topic, "dev2", all[0].value, all[0].headers, std::nullopt};
  append_record(moved);
  bus::OutRecord replayed{all[0].topic, all[0].key, all[0].value, all[0].headers, std::nullopt};
  append_record(replayed);
  ASSERT_THAT(refused_records(1), SizeIs(1)) << "what is replayed is no forgery, it is old";
  EXPECT_EQ(refused()[0].reason, "bad_signature");
  EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
  device->send(mqtt::encode_pingreq());
  (void)device->expect(mqtt::PacketType::pingresp);
}

TEST_P(SignedRecordsTest, WhatATrueRecordHasOvertakenIsHistoryAtTheNextStart) {
  forge_hold("dev1", 3, std::nullopt);
  hold("dev1", std::nullopt, 4);
  forge_hold("dev2", 3, std::nullopt);
  start();
  const auto told = refused_records(1);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].key, "dev2");
}

TEST_P(SignedRecordsTest, AKeyThatIsListedLateCountsFromThenOn) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  const access::RecordKey fresh(*crypto::PrivateKey::generate());
  const std::string text = hold_text("dev1", HoldLevel::isolate, 2);
  forge_hold("dev1", 2, *fresh.sign({fleet::topic::access, "dev1", "2", text}));
  ASSERT_THAT(refused_records(1), SizeIs(1));
  auto more = std::make_shared<access::Signers>(*config_.signers);
  ASSERT_TRUE(more->add("responder", fresh.public_key()).ok());
  gateway_->set_signers(more);
  device->expect_cut(mqtt::reason::administrative_action);
}

TEST_P(SignedRecordsTest, WhatWasFoundGoodIsKnownAtTheNextStartUnlessItsKeyIsGone) {
  hold("dev1", HoldLevel::isolate, 1);
  start();
  gateway_->stop(Millis(6000));
  gateway_.reset();
  KnownRecords known(config_.snapshot_folder);
  known.load();
  EXPECT_THAT(*known.marks(), SizeIs(3)) << "two certificates and the hold";
  start();
  EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
  gateway_->stop(Millis(6000));
  gateway_.reset();
  // Not one of the keys is listed any more: what they have signed lets nobody in.
  const access::RecordKey other(*crypto::PrivateKey::generate());
  auto others = std::make_shared<access::Signers>();
  ASSERT_TRUE(others->add("responder", other.public_key()).ok());
  config_.signers = others;
  start();
  EXPECT_NE(client(dev2_)->connect("dev2"), 0);
}

TEST(KnownRecords, AFileThatIsNoneIsNothingKnown) {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("fw_known_{}", ::getpid());
  std::filesystem::remove_all(folder);
  KnownRecords first(folder);
  first.load();
  EXPECT_THAT(*first.marks(), IsEmpty());
  access::RecordMark mark{};
  mark[0] = 1;
  first.add(mark);
  ASSERT_TRUE(first.finish().ok());
  EXPECT_EQ(first.marks(), nullptr);
  mark[0] = 2;
  first.add(mark);
  { const KnownRecords ends = std::move(first); }
  const auto count = [&folder] {
    KnownRecords k(folder);
    k.load();
    return k.marks()->size();
  };
  EXPECT_EQ(count(), 2U);
  const auto file = folder / "known-records";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 3);
  EXPECT_EQ(count(), 1U) << "the last one was cut";
  std::ofstream(file) << "something else of some length";
  EXPECT_EQ(count(), 0U);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fleetward::gateway
