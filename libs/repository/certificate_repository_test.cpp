#include "repository/certificate_repository.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/topics.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using fleet::CertificateStatus;
using ::testing::SizeIs;
using Tx = store::Transaction;

class CertificateRepositoryTest : public StoreFixture<> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StoreFixture::SetUp());
    issuer_.certificate_pem = *pki::make_root(issuer_.key, "Test", now_, std::chrono::hours(24 * 3650), random_);
  }

  std::string pem_for(const std::string& thing, Millis lifetime = std::chrono::hours(24 * 365)) {
    pki::LeafRequest leaf;
    leaf.common_name = thing;
    leaf.uris = {pki::thing_uri(thing)};
    leaf.lifetime = lifetime;
    return *pki::issue(issuer_, issuer_.key.public_key(), leaf, now_, random_);
  }
  // Issued through the path that the role takes; the certificate's id.
  std::string issued(const std::string& thing, Millis lifetime = std::chrono::hours(24 * 365), bool probe = false) {
    const SigningRequest request{random_.hex(16), probe, thing, thing + "-id", issuer_.key.public_key().to_pem(), true};
    const std::string pem = pem_for(thing, lifetime);
    EXPECT_TRUE(change([&](Tx& tx) { return ask_for_certificate(tx, request, now_); }).ok());
    EXPECT_TRUE(change([&](Tx& tx) { return finish_signing(tx, request, pem, "issuer-fp", now_); }).ok());
    return pki::read_certificate(pem)->fingerprint;
  }
  std::optional<CertificateRow> row(const std::string& id) {
    return *in_store<std::optional<CertificateRow>>([&](Tx& tx) { return find_certificate(tx, id); });
  }
  // What waits for the relay, oldest first.
  std::vector<fleet::CertificateRecord> records() {
    auto rows = in_store<store::Rows>([](Tx& tx) {
      return tx.query("SELECT value FROM outbox WHERE topic=$1 ORDER BY id", {std::string(fleet::topic::certificates)});
    });
    EXPECT_TRUE(rows.ok()) << rows.error().message;
    std::vector<fleet::CertificateRecord> out;
    for (const store::Row& r : *rows) {
      const auto event = fleet::parse_cloud_event(r.text(0));
      EXPECT_TRUE(event.ok());
      out.push_back(*fleet::certificate_record_from_json(event->data));
    }
    return out;
  }
  std::vector<pki::RevokedEntry> revoked(Instant at) {
    std::vector<pki::RevokedEntry> all;
    for (;;) {  // page by page, as the authority does
      const auto page = *in_store<std::vector<pki::RevokedEntry>>([&](Tx& tx) {
        return revoked_entries(tx, at, std::chrono::hours(24 * 7), all.empty() ? "" : all.back().serial);
      });
      all.insert(all.end(), page.begin(), page.end());
      if (page.size() < revoked_page) return all;
    }
  }
  pki::CertificateState::Kind kind_of(const std::string& serial) {
    return in_store<pki::CertificateState>([&](Tx& tx) { return state_of_serial(tx, serial); })->kind;
  }

  crypto::SeededRandom random_{3};
  Instant now_ = *parse_rfc3339("2026-11-24T12:00:00Z");
  pki::Issuer issuer_{*crypto::PrivateKey::generate(), {}};
};

TEST_F(CertificateRepositoryTest, ACertificateAndItsRecordAreOneTransaction) {
  const std::string id = issued("dev1");
  const auto kept = row(id);
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->thing, "dev1");
  EXPECT_EQ(kept->issuer, "issuer-fp");
  EXPECT_EQ(kept->status, CertificateStatus::active);
  ASSERT_THAT(records(), SizeIs(1));
  const auto record = records()[0];
  EXPECT_EQ(record.fingerprint, id);
  EXPECT_EQ(record.thing, "dev1");
  EXPECT_EQ(record.issuer, "issuer-fp");
  EXPECT_EQ(record.serial, kept->serial);
  EXPECT_EQ(record.not_after, kept->not_after);
  EXPECT_EQ(record.version, 1);
}

TEST_F(CertificateRepositoryTest, TheSecondAuthorityToSignARequestChangesNothing) {
  const SigningRequest request{"r1", false, "dev1", "id", "key", true};
  ASSERT_TRUE(change([&](Tx& tx) { return ask_for_certificate(tx, request, now_); }).ok());
  const std::string first = pem_for("dev1");
  const std::string second = pem_for("dev1");
  ASSERT_TRUE(change([&](Tx& tx) { return finish_signing(tx, request, first, "i", now_); }).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return finish_signing(tx, request, second, "i", now_); }).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return fail_signing(tx, request, "late"); }).ok());
  EXPECT_FALSE(row(pki::read_certificate(second)->fingerprint).has_value());
  const auto outcome = in_store<SigningOutcome>([](Tx& tx) { return signing_outcome(tx, "r1"); });
  EXPECT_EQ(outcome->certificate_pem, first);
  EXPECT_EQ(outcome->error, "");
  EXPECT_THAT(records(), SizeIs(1));
}

TEST_F(CertificateRepositoryTest, AProbeIsInItsRequestAlone) {
  const std::string id = issued("dev1", std::chrono::minutes(5), true);
  EXPECT_FALSE(row(id).has_value());
  EXPECT_THAT(records(), SizeIs(0));
}

TEST_F(CertificateRepositoryTest, WaitingRequestsAreBoundedAndOldOnesForgotten) {
  ASSERT_TRUE(change([&](Tx& tx) -> Status {
                for (std::int64_t i = 0; i < open_requests_max; ++i) {
                  const auto added = tx.execute(
                      "INSERT INTO signing_requests(id, kind, thing, thing_id, public_key, active, state, created_ms) "
                      "VALUES($1, 'device', '', '', '', 1, 'open', $2)",
                      {std::to_string(i), to_ms(now_)});
                  if (!added) return added.error();
                }
                return {};
              }).ok());
  const SigningRequest request{"one-more", false, "dev1", "id", "key", true};
  EXPECT_EQ(change([&](Tx& tx) { return ask_for_certificate(tx, request, now_); }).error().code, ErrorCode::throttled);
  ASSERT_TRUE(change([&](Tx& tx) { return fail_signing(tx, {"7"}, "no"); }).ok());
  EXPECT_TRUE(change([&](Tx& tx) { return ask_for_certificate(tx, request, now_); }).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return forget_old_requests(tx, now_ + Millis(1)); }).ok());
  EXPECT_EQ(in_store<SigningOutcome>([](Tx& tx) { return signing_outcome(tx, "7"); }).error().code,
            ErrorCode::not_found);
  EXPECT_TRUE(in_store<SigningOutcome>([](Tx& tx) { return signing_outcome(tx, "8"); })->open) << "open ones stay";
}

TEST_F(CertificateRepositoryTest, InactiveIsAtTheGatewayOnly) {
  const std::string id = issued("dev1");
  const std::string serial = row(id)->serial;
  const auto set = [&](CertificateStatus s) {
    return change([&](Tx& tx) { return set_certificate_status(tx, id, s, now_); });
  };
  ASSERT_TRUE(set(CertificateStatus::inactive).ok());
  EXPECT_EQ(records().back().status, CertificateStatus::inactive);
  EXPECT_THAT(revoked(now_), SizeIs(0));
  EXPECT_EQ(kind_of(serial), pki::CertificateState::Kind::good);
  ASSERT_TRUE(set(CertificateStatus::inactive).ok());
  EXPECT_THAT(records(), SizeIs(2)) << "the same again says nothing";
  ASSERT_TRUE(set(CertificateStatus::active).ok());
  EXPECT_EQ(records().back().version, 3);
  EXPECT_EQ(set(CertificateStatus::revoked).error().code, ErrorCode::invalid_argument)
      << "it would be revoked without being in the CRL";
}

TEST_F(CertificateRepositoryTest, RevokedIsForGood) {
  const std::string id = issued("dev1");
  const auto revoke = [&](Instant at) {
    return change([&](Tx& tx) { return revoke_certificate(tx, id, pki::RevocationReason::key_compromise, at); });
  };
  ASSERT_TRUE(revoke(now_).ok());
  ASSERT_TRUE(revoke(now_ + Millis(5000)).ok()) << "again is no error";
  EXPECT_EQ(records().back().status, CertificateStatus::revoked);
  EXPECT_THAT(records(), SizeIs(2));
  ASSERT_THAT(revoked(now_), SizeIs(1));
  EXPECT_EQ(revoked(now_)[0].at, now_) << "the first time stays";
  EXPECT_EQ(revoked(now_)[0].reason, pki::RevocationReason::key_compromise);
  EXPECT_EQ(kind_of(row(id)->serial), pki::CertificateState::Kind::revoked);
  EXPECT_EQ(kind_of("0badcafe"), pki::CertificateState::Kind::unknown);
  EXPECT_EQ(
      change([&](Tx& tx) { return set_certificate_status(tx, id, CertificateStatus::active, now_); }).error().code,
      ErrorCode::failed_precondition);
  ASSERT_TRUE(change([&](Tx& tx) { return attach_certificate(tx, id, "", "", now_); }).ok());
  EXPECT_EQ(change([&](Tx& tx) { return attach_certificate(tx, id, "dev2", "x", now_); }).error().code,
            ErrorCode::failed_precondition);
}

TEST_F(CertificateRepositoryTest, EntriesStayOneCrlPastExpiryAndAreSorted) {
  for (const int days : {1, 30, 30, 30}) {
    const std::string id = issued("dev", std::chrono::hours(24 * days));
    ASSERT_TRUE(
        change([&](Tx& tx) { return revoke_certificate(tx, id, pki::RevocationReason::unspecified, now_); }).ok());
  }
  EXPECT_THAT(revoked(now_ + std::chrono::hours(24 * 7)), SizeIs(4));
  const auto later = revoked(now_ + std::chrono::hours(24 * 8) + Millis(1));
  ASSERT_THAT(later, SizeIs(3));
  EXPECT_TRUE(std::is_sorted(later.begin(), later.end(), [](auto& a, auto& b) { return a.serial < b.serial; }));
  EXPECT_EQ(*in_store<std::int64_t>([](Tx& tx) { return revocation_count(tx); }), 4);
}

// More than a query may return: the list is read in pages.
TEST_F(CertificateRepositoryTest, AHundredThousandRevocationsFitInTheCrl) {
  constexpr std::int64_t count = 100'500;
  ASSERT_TRUE(
      change([&](Tx& tx) -> Status {
        const auto added = tx.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < $1) "
            "INSERT INTO certificates(id, pem, serial, issuer, status, not_before_ms, not_after_ms, created_ms, "
            "modified_ms, revoked_ms) SELECT 'c' || i, '', substr('00000000000000000000000000000000' || i, length('' "
            "|| i) + 1), '', 'REVOKED', 0, $2, 0, 0, $3 "
            "FROM n",
            {count, to_ms(now_ + std::chrono::hours(24)), to_ms(now_)});
        return added.ok() ? Status() : Status(added.error());
      }).ok());
  const auto entries = revoked(now_);
  ASSERT_EQ(static_cast<std::int64_t>(entries.size()), count);
  EXPECT_EQ(entries.front().serial, fmt::format("{:032}", 1));
  EXPECT_EQ(entries.back().serial, fmt::format("{:032}", count));
}

TEST_F(CertificateRepositoryTest, OneThingACertificate) {
  const std::string id = issued("dev1");
  const auto attach = [&](const std::string& thing) {
    return change([&](Tx& tx) { return attach_certificate(tx, id, thing, thing, now_); });
  };
  EXPECT_EQ(attach("dev2").error().code, ErrorCode::failed_precondition);
  ASSERT_TRUE(attach("").ok());
  EXPECT_EQ(records().back().thing, "");
  ASSERT_TRUE(attach("dev2").ok());
  EXPECT_EQ(records().back().thing, "dev2");
  EXPECT_EQ(change([&](Tx& tx) { return attach_certificate(tx, "none", "dev1", "x", now_); }).error().code,
            ErrorCode::not_found);
}

TEST_F(CertificateRepositoryTest, TheCrlThatIsKnownIsNotReadAgain) {
  const CrlRow crl{3, {1, 2, 3}, now_, now_ + std::chrono::hours(1), 2};
  ASSERT_TRUE(change([&](Tx& tx) { return save_crl(tx, crl); }).ok());
  const auto load = [&](std::int64_t known) {
    return **in_store<std::optional<CrlRow>>([&](Tx& tx) { return load_crl(tx, known); });
  };
  EXPECT_EQ(load(0).der, crl.der);
  EXPECT_EQ(load(2).der, crl.der);
  EXPECT_TRUE(load(3).der.empty());
  EXPECT_EQ(load(3).number, 3);
  EXPECT_EQ(load(3).revocations, 2);
}

}  // namespace
}  // namespace fleetward::repository
