// Devices of several authorities at one gateway: who is let in, and what ends when one of them does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pki/openssl_ca.hpp"
#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using fleet::AuthorityStatus;
using fleet::CertificateStatus;
using fleet::EnforcementKind;
using pki::testing_support::OpensslCa;

class AuthoritiesOfGatewayTest : public SnapshotOfGatewayTest {
 protected:
  void SetUp() override {
    SnapshotOfGatewayTest::SetUp();
    std::filesystem::create_directories(folder_);
    acme_ = std::make_unique<OpensslCa>(place("acme"), "/CN=Devices");
    namesake_ = std::make_unique<OpensslCa>(place("namesake"), "/CN=Devices");
  }
  std::string place(const std::string& name) const { return (folder_ / name).string(); }

  static std::string id_of(const std::string& pem) { return pki::read_certificate(pem)->fingerprint; }
  void set_authority(const OpensslCa& ca, AuthorityStatus status, std::int64_t version) {
    set_authority_pem(ca.pem(), status, version);
  }
  void set_authority_pem(const std::string& pem, AuthorityStatus status, std::int64_t version) {
    const std::string id = id_of(pem);
    const fleet::AuthorityRecord r{id, status == AuthorityStatus::deleted ? "" : pem, status, version};
    append(fleet::topic::certificates, "authority/" + id, to_json(r), version);
  }
  // A device of theirs, and its record; `chain` is sent behind its certificate.
  Identity device(const OpensslCa& ca, const std::string& name, const std::string& thing,
                  const std::string& serial = "", const std::string& section = "leaf", const std::string& chain = "") {
    const std::string pem = ca.issue(name, serial, section);
    Identity who{pem + chain, ca.key_pem(name), id_of(pem)};
    if (!thing.empty()) set_theirs(who, id_of(ca.pem()), thing, CertificateStatus::active, 1);
    return who;
  }
  void set_theirs(const Identity& who, const std::string& issuer, const std::string& thing, CertificateStatus status,
                  std::int64_t version) {
    fleet::CertificateRecord r{
        who.fingerprint,
        thing,
        "id-" + thing,
        issuer,
        "01",
        status,
        std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()) + std::chrono::hours(1),
        version,
        true};
    append(fleet::topic::certificates, who.fingerprint, to_json(r), version);
  }
  bool trusts(int count) {
    return eventually([&] {
      std::size_t active = 0;
      async::run_on(gateway_loop_, [&] { active = static_cast<std::size_t>(counters_.authorities.value()); });
      return active == static_cast<std::size_t>(count);
    });
  }
  std::uint64_t refused(std::string_view reason) { return counters_.refused(reason).value(); }
  // Refused in TLS 1.3: the client may have finished its side before it hears so.
  bool is_refused(const Identity& who, const std::string& thing) { return client(who)->connect(thing) == -1; }

  std::unique_ptr<OpensslCa> acme_, namesake_;
};
INSTANTIATE_TEST_SUITE_P(Versions, AuthoritiesOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(AuthoritiesOfGatewayTest, SeveralAtOnceAlsoOfOneNameAndWithOneSerial) {
  start();
  const Identity ours = dev1_;
  const Identity a = device(*acme_, "a", "cam-a", "77", "bare");
  const Identity b = device(*namesake_, "b", "cam-b", "77", "bare");  // neither names its issuer's key
  EXPECT_TRUE(is_refused(a, "cam-a")) << "its authority is not registered";
  set_authority(*acme_, AuthorityStatus::active, 1);
  ASSERT_TRUE(trusts(1));
  const auto first = client(a);
  EXPECT_EQ(first->connect("cam-a"), 0);
  EXPECT_TRUE(is_refused(b, "cam-b"));
  set_authority(*namesake_, AuthorityStatus::active, 1);
  ASSERT_TRUE(trusts(2));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(client(b)->connect("cam-b"), 0);
    EXPECT_EQ(client(a)->connect("cam-a"), 0);
    EXPECT_EQ(client(ours)->connect("dev1"), 0);
  }
  EXPECT_NE(client(a)->connect("cam-b"), 0) << "another one's name";
}

TEST_P(AuthoritiesOfGatewayTest, OneThatWasNotTakenInIsNobody) {
  set_authority(*acme_, AuthorityStatus::active, 1);
  start();
  const Identity stranger = device(*acme_, "stranger", "");
  const std::uint64_t before = refused("certificate-unknown");
  EXPECT_TRUE(is_refused(stranger, "stranger"));
  EXPECT_TRUE(eventually([&] { return refused("certificate-unknown") == before + 1; }));
  const Identity unattached = device(*acme_, "unattached", "");
  set_theirs(unattached, id_of(acme_->pem()), "", CertificateStatus::active, 1);
  EXPECT_TRUE(is_refused(unattached, "unattached"));
  EXPECT_TRUE(eventually([&] { return refused("certificate-unattached") == 1; }));
}

TEST_P(AuthoritiesOfGatewayTest, DeactivationCutsItsDevicesAndNoOthers) {
  set_authority(*acme_, AuthorityStatus::active, 1);
  set_authority(*namesake_, AuthorityStatus::active, 1);
  const Identity a = device(*acme_, "a", "cam-a"), b = device(*namesake_, "b", "cam-b");
  start();
  const auto theirs = client(a), others = client(b), ours = client(dev1_);
  ASSERT_EQ(theirs->connect("cam-a"), 0);
  ASSERT_EQ(others->connect("cam-b"), 0);
  ASSERT_EQ(ours->connect("dev1"), 0);
  set_authority(*acme_, AuthorityStatus::inactive, 2);
  theirs->expect_cut(mqtt::reason::administrative_action);
  const auto told = event_of(EnforcementKind::session_cut);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->thing, "cam-a");
  EXPECT_EQ(told->reason, "authority-inactive");
  EXPECT_EQ(told->sessions_left, 0);
  ASSERT_TRUE(trusts(1));
  EXPECT_TRUE(is_refused(a, "cam-a"));
  EXPECT_TRUE(others->is_alive());
  EXPECT_TRUE(ours->is_alive());
  set_authority(*acme_, AuthorityStatus::active, 3);
  ASSERT_TRUE(trusts(2));
  EXPECT_EQ(client(a)->connect("cam-a"), 0);
  set_authority(*acme_, AuthorityStatus::inactive, 4);
  set_authority(*acme_, AuthorityStatus::deleted, 5);
  ASSERT_TRUE(trusts(1));
  EXPECT_TRUE(is_refused(a, "cam-a"));
  set_authority(*acme_, AuthorityStatus::active, 4);  // late, and not newer
  EXPECT_TRUE(is_refused(a, "cam-a"));
}

// The chain may still lead to an authority that is trusted: it is the certificate's own that counts.
TEST_P(AuthoritiesOfGatewayTest, AnIntermediateIsJudgedByItselfAlone) {
  const std::string sub_pem = acme_->issue("sub", "", "sub");
  OpensslCa sub(place("sub"), "/CN=Sub");
  std::filesystem::copy_file(acme_->path("sub.crt"), sub.path("ca.crt"),
                             std::filesystem::copy_options::overwrite_existing);
  std::filesystem::copy_file(acme_->path("sub.key"), sub.path("ca.key"),
                             std::filesystem::copy_options::overwrite_existing);
  start();
  set_authority(*acme_, AuthorityStatus::active, 1);
  const Identity alone = device(sub, "a", "cam-a");
  const Identity with_chain{alone.certificate_pem + sub_pem, alone.key_pem, alone.fingerprint};
  ASSERT_TRUE(trusts(1));
  EXPECT_TRUE(is_refused(alone, "cam-a")) << "nothing leads to the root";
  EXPECT_TRUE(is_refused(with_chain, "cam-a")) << "the chain is good, its authority is not registered";
  EXPECT_TRUE(eventually([&] { return refused("authority-inactive") == 1; }));
  set_authority_pem(sub_pem, AuthorityStatus::active, 1);
  ASSERT_TRUE(trusts(2));
  EXPECT_EQ(client(alone)->connect("cam-a"), 0) << "trusted itself, it needs no chain";
  EXPECT_EQ(client(with_chain)->connect("cam-a"), 0);
  set_authority_pem(sub_pem, AuthorityStatus::inactive, 2);
  ASSERT_TRUE(trusts(1));
  EXPECT_TRUE(is_refused(with_chain, "cam-a")) << "the root is trusted, the intermediate is not any more";
}

TEST_P(AuthoritiesOfGatewayTest, AProbeIsOurAuthoritysToIssue) {
  set_authority(*acme_, AuthorityStatus::active, 1);
  start();
  EXPECT_EQ(client(authority_.probe("dev1"))->connect("dev1"), 0);
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::array<char, 32> from{}, to{};
  const std::time_t begin = now - 120, end = now + 300;
  std::strftime(from.data(), from.size(), "%Y%m%d%H%M%SZ", std::gmtime(&begin));
  std::strftime(to.data(), to.size(), "%Y%m%d%H%M%SZ", std::gmtime(&end));
  const std::string pem =
      acme_->issue("probe", "", "probe", fmt::format("-startdate {} -enddate {}", from.data(), to.data()));
  const Identity forged{pem, acme_->key_pem("probe"), id_of(pem)};
  const std::uint64_t probes = counters_.probes.value();
  EXPECT_TRUE(is_refused(forged, "dev1"));
  // Not even with a record of its own is it a probe: then it is the thing that the record says.
  set_theirs(forged, id_of(acme_->pem()), "cam-p", CertificateStatus::active, 1);
  ASSERT_TRUE(eventually([&] { return client(forged)->connect("cam-p") == 0; }));
  EXPECT_EQ(counters_.probes.value(), probes);
}

TEST_P(AuthoritiesOfGatewayTest, OurOwnMaterialChangesBesideThem) {
  set_authority(*acme_, AuthorityStatus::active, 1);
  const Identity a = device(*acme_, "a", "cam-a");
  start();
  ASSERT_TRUE(trusts(1));
  const Identity server =
      authority_.make({.purpose = pki::Purpose::server, .common_name = "gateway", .ip_addresses = {"127.0.0.1"}});
  ASSERT_TRUE(gateway_
                  ->set_tls({server.certificate_pem + authority_.issuing_pem, server.key_pem,
                             authority_.issuing_pem + authority_.root_pem})
                  .ok());
  EXPECT_EQ(client(a)->connect("cam-a"), 0) << "still trusted";
  EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
}

TEST_P(AuthoritiesOfGatewayTest, TheSnapshotKnowsThem) {
  set_authority(*acme_, AuthorityStatus::active, 1);
  set_authority(*namesake_, AuthorityStatus::inactive, 1);
  const Identity a = device(*acme_, "a", "cam-a"), b = device(*namesake_, "b", "cam-b");
  start();
  ASSERT_EQ(client(a)->connect("cam-a"), 0);
  stop_unheard();
  start();
  EXPECT_EQ(client(a)->connect("cam-a"), 0);
  EXPECT_TRUE(is_refused(b, "cam-b"));
  bus_.read_fails = false;
}

TEST_P(AuthoritiesOfGatewayTest, ARecordThatHoldsAnotherCertificateIsNotTrusted) {
  start();
  const Identity a = device(*acme_, "a", "cam-a");
  const std::string id = id_of(acme_->pem());
  append(fleet::topic::certificates, "authority/" + id,
         to_json(fleet::AuthorityRecord{id, namesake_->pem(), AuthorityStatus::active, 1}), 1);
  const Identity b = device(*namesake_, "b", "cam-b");
  EXPECT_TRUE(is_refused(b, "cam-b"));
  EXPECT_TRUE(is_refused(a, "cam-a"));
  set_authority(*acme_, AuthorityStatus::active, 2);
  ASSERT_TRUE(trusts(1));
  EXPECT_EQ(client(a)->connect("cam-a"), 0);
}

}  // namespace
}  // namespace fleetward::gateway
