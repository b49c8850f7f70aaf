// Other people's programs: mosquitto_pub, and openssl, whose TLS sessions can be kept in a file
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using fleet::CertificateStatus;
using ::testing::HasSubstr;

class ForeignProgramsTest : public SnapshotOfGatewayTest {
 protected:
  void SetUp() override {
    SnapshotOfGatewayTest::SetUp();
    std::filesystem::create_directories(folder_);
  }
  std::string file(const std::string& name, const std::string& text) {
    const auto path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  // QoS 1; true when it was acknowledged.
  bool mosquitto_pub(const std::string& version, const Identity& who, const std::string& client_id,
                     const std::string& topic) {
    const std::string command = fmt::format(
        "timeout 20 mosquitto_pub -V {} -h 127.0.0.1 -p {} --cafile {} --cert {} --key {} -i {} -q 1 -t '{}' -m '{}' "
        ">/dev/null 2>&1",
        version, gateway_->port(), file("ca", authority_.root_pem), file("crt", who.certificate_pem),
        file("key", who.key_pem), client_id, topic, report(1));
    return std::system(command.c_str()) == 0;
  }
  // CONNECT and DISCONNECT over s_client; what the gateway answered, and what s_client says of the session.
  std::string talk(const std::string& name, const Identity& who, const std::string& options) {
    const std::string in = file("in", mqtt::encode_connect({mqtt::Version::v311, name, 60, true}) +
                                          mqtt::encode_disconnect(mqtt::Version::v311, 0));
    const std::string out = file("out", "");
    const std::string command = fmt::format(
        "timeout 20 openssl s_client -connect 127.0.0.1:{} -CAfile {} -cert {} -key {} -ign_eof -nocommands {} <{} >{} "
        "2>&1",
        gateway_->port(), file("ca", authority_.root_pem), file("crt", who.certificate_pem), file("key", who.key_pem),
        options, in, out);
    EXPECT_NE(std::system(command.c_str()), -1);
    std::ifstream read(out, std::ios::binary);
    return {std::istreambuf_iterator<char>(read), {}};
  }
  static bool is_let_in(const std::string& said) {
    return said.find(std::string("\x20\x02\x00\x00", 4)) != std::string::npos;
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, ForeignProgramsTest, ::testing::Values(mqtt::Version::v311),
                         [](const auto&) { return "v311"; });

TEST_P(ForeignProgramsTest, MosquittoSpeaksWithIt) {
  start();
  for (const std::string version : {"311", "5"}) {
    EXPECT_TRUE(mosquitto_pub(version, dev1_, "dev1", report_topic("dev1"))) << version;
    EXPECT_FALSE(mosquitto_pub(version, dev1_, "dev2", report_topic("dev1"))) << version;
  }
  EXPECT_EQ(reports().size(), 2U);
  mosquitto_pub("5", dev1_, "dev1", report_topic("dev2"));  // its exit code does not tell of a PUBACK 0x87
  EXPECT_EQ(counters_.refused("publish").value(), 1U);
  EXPECT_EQ(reports().size(), 2U);
}

TEST_P(ForeignProgramsTest, ARevokedCertificateIsRefusedOnAResumedHandshakeToo) {
  config_.resumption = true;
  start();
  std::int64_t version = 2;
  for (const std::string tls : {"-tls1_2", "-tls1_3"}) {
    const std::string kept = (folder_ / ("session" + tls)).string();
    const std::string innocent = kept + ".innocent";
    ASSERT_TRUE(is_let_in(talk("dev1", dev1_, tls + " -sess_out " + kept)));
    ASSERT_TRUE(is_let_in(talk("dev2", dev2_, tls + " -sess_out " + innocent)));

    const std::string again = talk("dev1", dev1_, tls + " -sess_in " + kept);
    EXPECT_TRUE(is_let_in(again));
    EXPECT_THAT(again, HasSubstr("Reused, TLSv1."));

    set_certificate(dev1_, "dev1", CertificateStatus::revoked, version++);
    const auto resumed_before = counters_.refused("after-resumption").value();
    const auto revoked_before = counters_.refused("certificate-revoked").value();
    EXPECT_TRUE(eventually([&] { return !is_let_in(talk("dev1", dev1_, tls + " -sess_in " + kept)); }));
    EXPECT_EQ(counters_.refused("after-resumption").value(), resumed_before + 1);
    EXPECT_EQ(counters_.refused("certificate-revoked").value(), revoked_before) << "a refusal ends in one counter";

    const std::string other = talk("dev2", dev2_, tls + " -sess_in " + innocent);
    EXPECT_TRUE(is_let_in(other));
    EXPECT_THAT(other, HasSubstr("Reused, TLSv1."));
    set_certificate(dev1_, "dev1", CertificateStatus::active, version++);  // for the other version's turn
    EXPECT_TRUE(eventually([&] { return is_let_in(talk("dev1", dev1_, tls)); }));
  }
}

}  // namespace
}  // namespace fleetward::gateway
