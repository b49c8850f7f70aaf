// Authorities of others, their certificates and what their lists say, over each store; the CAs are openssl's.
#include "repository/authority_repository.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/topics.hpp"
#include "pki/openssl_ca.hpp"
#include "repository/authority_feed.hpp"
#include "repository/store_fixture.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::repository {
namespace {

using fleet::AuthorityStatus;
using fleet::CertificateStatus;
using pki::RevocationReason;
using pki::testing_support::OpensslCa;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Tx = store::Transaction;

enum class Kind { file, memory };

class AuthorityRepositoryTest : public StoreFixture<::testing::TestWithParam<Kind>> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StoreFixture::SetUp());
    acme_ = std::make_unique<OpensslCa>(folder_ + "/acme", "/CN=Devices");
    namesake_ = std::make_unique<OpensslCa>(folder_ + "/namesake", "/CN=Devices");
  }
  Result<std::unique_ptr<store::Store>> open_store() override {
    return GetParam() == Kind::file ? StoreFixture::open_store() : store::open_memory_store(loop_, metrics_);
  }

  std::string enlist(const OpensslCa& ca, AuthorityStatus status = AuthorityStatus::active) {
    const auto info = pki::read_authority(ca.pem(), now_);
    EXPECT_TRUE(info.ok());
    EXPECT_TRUE(change([&](Tx& tx) { return register_authority(tx, *info, status, "SNI_ONLY", now_); }).ok());
    return info->certificate.fingerprint;
  }
  Status set_status(const std::string& id, AuthorityStatus status) {
    return change([&](Tx& tx) { return set_authority_status(tx, id, status, now_); });
  }
  Result<RegisteredCertificate> take(const std::string& pem, const std::string& authority_pem = "",
                                     CertificateStatus status = CertificateStatus::active) {
    return in_store<RegisteredCertificate>(
        [&](Tx& tx) { return register_certificate(tx, pem, authority_pem, status, now_); });
  }
  CertificateRow row(const std::string& id) {
    return **in_store<std::optional<CertificateRow>>([&](Tx& tx) { return find_certificate(tx, id); });
  }
  AuthorityRow authority(const std::string& id) {
    return *in_store<AuthorityRow>([&](Tx& tx) { return get_authority(tx, id); });
  }
  // What waits for the relay: "KEY STATUS", oldest first.
  std::vector<std::string> told() {
    auto rows = in_store<store::Rows>([](Tx& tx) {
      return tx.query("SELECT value FROM outbox WHERE topic=$1 ORDER BY id", {std::string(fleet::topic::certificates)});
    });
    std::vector<std::string> out;
    for (const store::Row& r : *rows) {
      const auto event = fleet::parse_cloud_event(r.text(0));
      out.push_back(event->subject + " " + event->data["status"].get<std::string>());
    }
    EXPECT_TRUE(change([](Tx& tx) {
                  const auto gone = tx.execute("DELETE FROM outbox");
                  return gone.ok() ? Status() : Status(gone.error());
                }).ok());
    return out;
  }

  FeedCrl crl(const std::string& number, int minute = 0, std::int64_t entries = 1) {
    return {number, "digest " + number + std::to_string(minute), now_ + std::chrono::minutes(minute),
            now_ + std::chrono::hours(24), entries};
  }
  Result<bool> begin(const std::string& id, const FeedCrl& list) {
    return in_store<bool>([&](Tx& tx) { return begin_feed(tx, id, list, now_); });
  }
  static FeedEntry entry(const std::string& serial_hex, RevocationReason reason = RevocationReason::unspecified) {
    return {std::string(as_text(*from_hex(serial_hex))), instant_from_ms(1'790'000'000'000), reason};
  }
  // The whole of a list, as the reader of CRLs does it.
  FeedChange put(const std::string& id, const FeedCrl& list, const std::vector<FeedEntry>& entries) {
    FeedChange all;
    const auto begun = begin(id, list);
    EXPECT_TRUE(begun.ok() && *begun) << (begun.ok() ? "" : begun.error().message);
    for (std::size_t bucket = 0; bucket < feed_buckets; ++bucket) {
      std::vector<FeedEntry> some;
      for (const FeedEntry& e : entries) {
        if (feed_bucket(as_bytes(e.serial)) == bucket) some.push_back(e);
      }
      const auto change_of =
          in_store<FeedChange>([&](Tx& tx) { return apply_feed(tx, id, list.digest, bucket, some, now_); });
      EXPECT_TRUE(change_of.ok()) << (change_of.ok() ? "" : change_of.error().message);
      for (const auto part : {&FeedChange::revoked, &FeedChange::held, &FeedChange::lifted})
        (all.*part).insert((all.*part).end(), (*change_of.*part).begin(), (*change_of.*part).end());
    }
    EXPECT_TRUE(change([&](Tx& tx) { return finish_feed(tx, id, list.digest, now_); }).ok());
    return all;
  }

  // After openssl has made the certificates, on a slow machine too.
  Instant now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()) + std::chrono::minutes(2);
  async::LoopThread loop_{"store"};
  std::unique_ptr<OpensslCa> acme_, namesake_;
};
INSTANTIATE_TEST_SUITE_P(Stores, AuthorityRepositoryTest, ::testing::Values(Kind::file, Kind::memory),
                         [](const auto& info) { return info.param == Kind::file ? "file" : "memory"; });

TEST_P(AuthorityRepositoryTest, IsTakenChangedAndDeletedAndGatewaysHearOfEach) {
  const std::string id = enlist(*acme_, AuthorityStatus::inactive);
  const std::string key = "authority/" + id;
  const auto again = change([&](Tx& tx) {
    return register_authority(tx, *pki::read_authority(acme_->pem(), now_), AuthorityStatus::active, "DEFAULT", now_);
  });
  EXPECT_EQ(again.error().code, ErrorCode::already_exists);
  ASSERT_TRUE(set_status(id, AuthorityStatus::active).ok());
  ASSERT_TRUE(set_status(id, AuthorityStatus::active).ok());
  const auto deleting = [&] { return change([&](Tx& tx) { return delete_authority(tx, id, now_); }); };
  EXPECT_EQ(deleting().error().code, ErrorCode::failed_precondition) << "it is ACTIVE";
  ASSERT_TRUE(set_status(id, AuthorityStatus::inactive).ok());
  ASSERT_TRUE(deleting().ok());
  EXPECT_EQ(deleting().error().code, ErrorCode::not_found);
  EXPECT_THAT(told(), ElementsAre(key + " INACTIVE", key + " ACTIVE", key + " INACTIVE", key + " DELETED"));
  enlist(*acme_);
  const auto version =
      in_store<std::int64_t>([&](Tx& tx) { return next_version(tx, fleet::topic::certificates, key); });
  EXPECT_EQ(*version, 6) << "versions go on after a deletion";
}

TEST_P(AuthorityRepositoryTest, ThereIsALimitToThem) {
  const auto info = *pki::read_authority(acme_->pem(), now_);
  for (std::size_t i = 0; i < authorities_max; ++i) {
    auto one = info;
    one.certificate.fingerprint = fmt::format("{:064}", i);
    ASSERT_TRUE(
        change([&](Tx& tx) { return register_authority(tx, one, AuthorityStatus::inactive, "SNI_ONLY", now_); }).ok());
  }
  EXPECT_EQ(change([&](Tx& tx) { return register_authority(tx, info, AuthorityStatus::inactive, "SNI_ONLY", now_); })
                .error()
                .code,
            ErrorCode::resource_exhausted);
}

TEST_P(AuthorityRepositoryTest, SameNameAndSameSerialUnderTwoAuthoritiesAreTwoCertificates) {
  const std::string one = enlist(*acme_), two = enlist(*namesake_);
  const std::string a = acme_->issue("a", "77", "bare"), b = namesake_->issue("b", "77", "bare");
  const auto first = take(a), second = take(b);
  ASSERT_TRUE(first.ok() && second.ok()) << (second.ok() ? "" : second.error().message);
  EXPECT_EQ(first->authority, one);
  EXPECT_EQ(second->authority, two);
  EXPECT_EQ(row(first->id).serial, row(second->id).serial);
  EXPECT_EQ(take(a).error().code, ErrorCode::already_exists);
  EXPECT_EQ(take(a, namesake_->pem()).error().code, ErrorCode::already_exists);

  const FeedChange changed = put(one, crl("01"), {entry("77")});
  EXPECT_THAT(changed.revoked, ElementsAre(first->id)) << "and not the other one's";
  EXPECT_EQ(row(second->id).status, CertificateStatus::active);
  const auto ours = in_store<pki::CertificateState>([](Tx& tx) { return state_of_serial(tx, "77"); });
  EXPECT_EQ(ours->kind, pki::CertificateState::Kind::unknown) << "our OCSP does not speak for others";
  EXPECT_EQ(*in_store<std::int64_t>(revocation_count), 0) << "nor does our CRL";
  EXPECT_THAT(*in_store<std::vector<pki::RevokedEntry>>(
                  [&](Tx& tx) { return revoked_entries(tx, now_, std::chrono::hours(1)); }),
              IsEmpty());
  EXPECT_EQ(*in_store<std::int64_t>([&](Tx& tx) { return stopped_certificates(tx, one); }), 1);
  EXPECT_EQ(*in_store<std::int64_t>([&](Tx& tx) { return stopped_certificates(tx, two); }), 0);
}

TEST_P(AuthorityRepositoryTest, WhatMayNotBeTakenInIsToldWhy) {
  const std::string pem = acme_->issue("a");
  EXPECT_THAT(take(pem).error().message, HasSubstr("no registered authority"));
  EXPECT_THAT(take(pem, acme_->pem()).error().message, HasSubstr("not registered"));
  const std::string id = enlist(*acme_, AuthorityStatus::inactive);
  EXPECT_EQ(take(pem).error().code, ErrorCode::failed_precondition);
  ASSERT_TRUE(set_status(id, AuthorityStatus::active).ok());
  EXPECT_EQ(take(acme_->pem()).error().code, ErrorCode::invalid_argument) << "an authority's";
  EXPECT_EQ(take("words").error().code, ErrorCode::invalid_argument);
  enlist(*namesake_);
  EXPECT_EQ(take(pem, namesake_->pem()).error().code, ErrorCode::invalid_argument) << "not issued by that one";
  EXPECT_TRUE(take(pem, acme_->pem()).ok());
  // Another one with the same serial number, as a careless authority issues them.
  acme_->run("sed -i '/CN=a$/d' index.txt");
  acme_->write("serial", "1000\n");
  EXPECT_THAT(take(acme_->issue("careless")).error().message, HasSubstr("serial number"));
}

TEST_P(AuthorityRepositoryTest, OfARenewedAuthorityWithTheSameKeyTheCallerSaysWhich) {
  enlist(*acme_);
  const std::string old = acme_->pem();
  acme_->run(
      "openssl req -new -x509 -config ca.cnf -extensions own -key ca.key -subj /CN=Devices -days 99 -out ca.crt");
  const std::string renewed = enlist(*acme_);
  const std::string pem = acme_->issue("a");
  EXPECT_EQ(take(pem).error().code, ErrorCode::conflict);
  const auto taken = take(pem, acme_->pem());
  ASSERT_TRUE(taken.ok()) << taken.error().message;
  EXPECT_EQ(taken->authority, renewed);
  // With the old one out of force it is clear.
  ASSERT_TRUE(set_status(pki::read_certificate(old)->fingerprint, AuthorityStatus::inactive).ok());
  const auto clear = take(acme_->issue("b"));
  ASSERT_TRUE(clear.ok()) << clear.error().message;
  EXPECT_EQ(clear->authority, renewed);
}

TEST_P(AuthorityRepositoryTest, SerialsThatAreNotKnownYetAreRemembered) {
  const std::string id = enlist(*acme_);
  put(id, crl("01", 0, 3),
      {entry("1234"), entry("1235", RevocationReason::certificate_hold),
       entry("1236", RevocationReason::remove_from_crl)});
  const auto refused = take(acme_->issue("revoked", "1234"));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message, HasSubstr("revoked it, at 2026"));
  const auto held = take(acme_->issue("held", "1235"));
  ASSERT_TRUE(held.ok()) << held.error().message;
  EXPECT_EQ(row(held->id).status, CertificateStatus::inactive) << "until the hold ends";
  EXPECT_TRUE(take(acme_->issue("lifted", "1236")).ok());
  EXPECT_THAT(put(id, crl("02", 1), {entry("1234")}).lifted, ElementsAre(held->id));
  EXPECT_EQ(row(held->id).status, CertificateStatus::active);
}

TEST_P(AuthorityRepositoryTest, AHoldEndsAndARevocationDoesNot) {
  const std::string id = enlist(*acme_);
  const std::string a = take(acme_->issue("a", "0A"))->id;
  const std::string b = take(acme_->issue("b", "0B"), "", CertificateStatus::inactive)->id;
  const std::string c = take(acme_->issue("c", "0C"))->id;
  told();
  const auto hold = RevocationReason::certificate_hold;
  EXPECT_THAT(put(id, crl("01"), {entry("0a", hold), entry("0b", hold), entry("0c")}).held, SizeIs(2));
  EXPECT_THAT(told(), ::testing::UnorderedElementsAre(a + " INACTIVE", b + " INACTIVE", c + " REVOKED"));
  const auto by_hand = [&](CertificateStatus status) {
    return change([&](Tx& tx) { return set_certificate_status(tx, a, status, now_); });
  };
  EXPECT_EQ(by_hand(CertificateStatus::active).error().code, ErrorCode::failed_precondition)
      << "its authority's to lift";
  EXPECT_THAT(put(id, crl("02", 1), {}).lifted, ::testing::UnorderedElementsAre(a, b));
  EXPECT_EQ(row(a).status, CertificateStatus::active);
  EXPECT_EQ(row(b).status, CertificateStatus::inactive) << "as a person had set it";
  EXPECT_EQ(row(c).status, CertificateStatus::revoked) << "for good, whatever a later list leaves out";
  // Set INACTIVE by a person meanwhile, it stays so; a hold that becomes a revocation is one.
  put(id, crl("03", 2), {entry("0a", hold), entry("0b", hold)});
  ASSERT_TRUE(by_hand(CertificateStatus::inactive).ok());
  EXPECT_THAT(put(id, crl("04", 3), {entry("0b")}).revoked, ElementsAre(b));
  EXPECT_EQ(row(a).status, CertificateStatus::inactive);
  EXPECT_EQ(row(b).status, CertificateStatus::revoked);
}

TEST_P(AuthorityRepositoryTest, AnOlderListIsIgnoredAndTold) {
  const std::string id = enlist(*acme_);
  put(id, crl("0a", 10), {entry("01")});
  EXPECT_FALSE(*begin(id, crl("0a", 10))) << "the same again";
  EXPECT_THAT(begin(id, crl("09", 20)).error().message, HasSubstr("older"));
  EXPECT_THAT(begin(id, crl("0a", 20)).error().message, HasSubstr("same number"));
  EXPECT_THAT(begin(id, crl("", 9)).error().message, HasSubstr("older")) << "without a number its time counts";
  EXPECT_EQ(authority(id).feed.number, "0a");
  EXPECT_TRUE(*begin(id, crl("0100", 11)));
  // Begun and not finished, as by a crash: it is put in force again.
  EXPECT_FALSE(authority(id).feed.applied);
  EXPECT_TRUE(*begin(id, crl("0100", 11)));
  const auto overtaken = in_store<FeedChange>([&](Tx& tx) { return apply_feed(tx, id, "digest 0a10", 0, {}, now_); });
  EXPECT_EQ(overtaken.error().code, ErrorCode::fenced);
}

// The reader was still at the last place when the next one was set: what it brings must not bar the next one's lists.
TEST_P(AuthorityRepositoryTest, AListOfThePlaceBeforeComesTooLate) {
  const std::string id = enlist(*acme_);
  ASSERT_TRUE(change([&](Tx& tx) { return set_feed(tx, id, "next.crl", Millis(60'000), now_); }).ok());
  FeedCrl list = crl("ff");
  list.source = "last.crl";
  EXPECT_EQ(begin(id, list).error().code, ErrorCode::fenced);
  EXPECT_EQ(authority(id).feed.digest, "");
  const Status read = change([&](Tx& tx) { return note_feed_read(tx, id, list.digest, now_); });
  EXPECT_EQ(read.error().code, ErrorCode::fenced);
  list.source = "next.crl";
  EXPECT_TRUE(begin(id, list).ok());
}

TEST_P(AuthorityRepositoryTest, AFailedLookChangesNothingButWhatIsSaidOfIt) {
  const std::string id = enlist(*acme_);
  const std::string a = take(acme_->issue("a", "0A"))->id;
  put(id, crl("01"), {entry("0a"), entry("0f")});
  for (int i = 0; i < 2; ++i) {
    const Instant at = now_ + std::chrono::minutes(i);
    ASSERT_TRUE(change([&](Tx& tx) { return note_feed_failed(tx, id, "gone\x1b[2J", at); }).ok());
  }
  EXPECT_EQ(authority(id).feed.error, "gone\\x1b[2J");
  EXPECT_EQ(authority(id).feed.failed, now_) << "since when it fails";
  EXPECT_EQ(authority(id).feed.number, "01");
  EXPECT_EQ(row(a).status, CertificateStatus::revoked);
  ASSERT_TRUE(change([&](Tx& tx) { return note_feed_read(tx, id, crl("01").digest, now_); }).ok());
  EXPECT_EQ(authority(id).feed.error, "");
  // Another place begins anew with whatever number is there; what is known stays until it was read.
  ASSERT_TRUE(change([&](Tx& tx) { return set_feed(tx, id, "acme.crl", Millis(60'000), now_); }).ok());
  EXPECT_EQ(authority(id).feed.digest, "");
  EXPECT_FALSE(take(acme_->issue("later", "0F")).ok()) << "still remembered";
  FeedCrl other = crl("00", -100);
  other.source = "acme.crl";
  EXPECT_TRUE(*begin(id, other));
}

TEST_P(AuthorityRepositoryTest, CertificatesOfOneAuthorityByPage) {
  const std::string id = enlist(*acme_);
  enlist(*namesake_);
  std::vector<std::string> ids;
  for (const std::string name : {"a", "b", "c"}) ids.push_back(take(acme_->issue(name))->id);
  ASSERT_TRUE(take(namesake_->issue("x")).ok());
  std::sort(ids.begin(), ids.end());
  const auto page = [&](const std::string& after, bool is_ascending) {
    std::vector<std::string> out;
    const auto rows = in_store<std::vector<CertificateRow>>(
        [&](Tx& tx) { return certificates_by_authority(tx, id, after, is_ascending, 2); });
    for (const auto& r : *rows) out.push_back(r.id);
    return out;
  };
  EXPECT_THAT(page("", true), ElementsAre(ids[0], ids[1]));
  EXPECT_THAT(page(ids[1], true), ElementsAre(ids[2]));
  EXPECT_THAT(page("", false), ElementsAre(ids[2], ids[1]));
  EXPECT_THAT(page(ids[1], false), ElementsAre(ids[0]));
}

// A store of before this table changed: what is in it stays as it is.
TEST(AuthorityMigration, CertificatesOfBeforeAreOurs) {
  metrics::Registry metrics;
  std::string pattern = (std::filesystem::temp_directory_path() / "migration-").string() + std::string(6, 'X');
  const std::string folder = ::mkdtemp(pattern.data());
  {
    auto opened = open_empty_store(folder, metrics);
    ASSERT_TRUE(opened.ok());
    std::vector<store::Migration> before = all_migrations();
    before.resize(10);
    ASSERT_TRUE((**opened).migrate(before).ok());
    const auto written = store::run_and_wait<void>(**opened, std::function<Status(Tx&)>([](Tx& tx) -> Status {
      const auto row = tx.execute(
          "INSERT INTO certificates(id, pem, serial, issuer, status, thing, not_before_ms, "
          "not_after_ms, created_ms, modified_ms, revoked_ms) VALUES('f', 'p', '77', 'i', "
          "'REVOKED', 'dev1', 1, 2, 3, 4, 5)");
      return row.ok() ? Status() : Status(row.error());
    }));
    ASSERT_TRUE(written.ok());
    ASSERT_TRUE((**opened).migrate(all_migrations()).ok());
    const auto row = store::run_and_wait<std::optional<CertificateRow>>(
        **opened,
        std::function<Result<std::optional<CertificateRow>>(Tx&)>([](Tx& tx) { return find_certificate(tx, "f"); }));
    ASSERT_TRUE(row.ok() && *row);
    EXPECT_FALSE((**row).registered);
    EXPECT_EQ((**row).thing, "dev1");
    EXPECT_EQ(*store::run_and_wait<std::int64_t>(**opened, std::function<Result<std::int64_t>(Tx&)>(revocation_count)),
              1);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fleetward::repository
