// Against other people's code: openssl and GnuTLS read what we write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>

#include "pki/crl.hpp"
#include "pki/ocsp.hpp"

namespace fleetward::pki {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pki-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
    root_.certificate_pem = *make_root(root_.key, "Test root", now_, years(10), random_);
    issuing_.certificate_pem = *make_issuing(root_, issuing_.key.public_key(), "Test issuing", now_, years(5), random_);
    write("root.crt", root_.certificate_pem);
    write("issuing.crt", issuing_.certificate_pem);
    for (const char* name : {"dev1", "dev2"}) certificates_[name] = device(name);
    write("dev1.crt", certificates_["dev1"]);
    write("dev2.crt", certificates_["dev2"]);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Millis years(int n) { return std::chrono::hours(24 * 365 * n); }
  std::string device(const std::string& name) {
    LeafRequest request;
    request.common_name = name;
    request.uris = {thing_uri(name)};
    request.lifetime = years(1);
    request.crl_url = "http://127.0.0.1/crl";
    request.ocsp_url = "http://127.0.0.1/ocsp";
    const auto pem = issue(issuing_, crypto::PrivateKey::generate()->public_key(), request, now_, random_);
    EXPECT_TRUE(pem.ok()) << pem.error().message;
    return *pem;
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary) << text;
  }
  Bytes read(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(in), {});
  }
  // Output of a command run in the folder, both streams, and its exit code at the end.
  std::string run(const std::string& command) const {
    FILE* pipe = ::popen(("cd " + folder_ + " && { " + command + "; echo exit $?; } 2>&1").c_str(), "r");
    std::string out;
    std::array<char, 4096> buffer{};
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
    ::pclose(pipe);
    return out;
  }
  OcspSigner responder() {
    const auto key = crypto::PrivateKey::generate();
    LeafRequest request;
    request.purpose = Purpose::responder;
    request.common_name = "OCSP";
    request.lifetime = std::chrono::hours(24);
    return {*key, *issue(issuing_, key->public_key(), request, now_, random_), issuing_.certificate_pem};
  }
  std::string serial(const std::string& name) { return read_certificate(certificates_[name])->serial; }

  std::string folder_;
  Instant now_;
  crypto::SystemRandom random_;
  Issuer root_{*crypto::PrivateKey::generate(), {}};
  Issuer issuing_{*crypto::PrivateKey::generate(), {}};
  std::map<std::string, std::string> certificates_;
};

TEST_F(PkiTest, ChainVerifiesAndSaysWhatItIs) {
  EXPECT_THAT(run("openssl verify -x509_strict -CAfile root.crt -untrusted issuing.crt -purpose sslclient dev1.crt"),
              HasSubstr("dev1.crt: OK"));
  EXPECT_THAT(run("openssl verify -CAfile root.crt -untrusted issuing.crt -purpose sslserver dev1.crt"),
              Not(HasSubstr("dev1.crt: OK")));
  EXPECT_THAT(run("cat dev1.crt issuing.crt root.crt > chain.pem; certtool --verify-chain --infile chain.pem"),
              HasSubstr("exit 0"));
  const auto info = read_certificate(certificates_["dev1"]);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "dev1");
  EXPECT_THAT(info->uris, ::testing::ElementsAre("urn:fleetward:thing:dev1"));
  EXPECT_FALSE(info->is_authority);
  EXPECT_LE(info->not_before, now_ - std::chrono::minutes(4));
  std::string shown = run("openssl x509 -in dev1.crt -noout -fingerprint -sha256");
  std::erase(shown, ':');
  EXPECT_THAT(to_lower(shown), HasSubstr(info->fingerprint));
  EXPECT_TRUE(is_issued_by(certificates_["dev1"], issuing_.certificate_pem));
  EXPECT_FALSE(is_issued_by(certificates_["dev1"], root_.certificate_pem));
}

TEST_F(PkiTest, CrlIsReadByOthersAndRevokes) {
  const std::vector<RevokedEntry> entries = {{serial("dev1"), now_, RevocationReason::key_compromise}};
  const auto crl = make_crl(issuing_, entries, 7, now_, now_ + std::chrono::hours(168));
  ASSERT_TRUE(crl.ok());
  write("crl.der", as_text(*crl));
  run("openssl crl -inform DER -in crl.der -out crl.pem");
  EXPECT_THAT(run("openssl crl -inform DER -in crl.der -noout -text -CAfile issuing.crt"),
              ::testing::AllOf(HasSubstr("verify OK"), HasSubstr("Key Compromise"), HasSubstr("X509v3 CRL Number")));
  const std::string verify = "openssl verify -crl_check -CAfile root.crt -untrusted issuing.crt -CRLfile crl.pem ";
  EXPECT_THAT(run(verify + "dev1.crt"), HasSubstr("certificate revoked"));
  EXPECT_THAT(run(verify + "dev2.crt"), HasSubstr("dev2.crt: OK"));
  EXPECT_THAT(run("certtool --verify-crl --load-ca-certificate issuing.crt --infile crl.pem"), HasSubstr("exit 0"));
  const auto info = read_crl(*crl, issuing_.certificate_pem);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->number, 7);
  EXPECT_TRUE(info->revoked.contains(serial("dev1")));
  EXPECT_FALSE(info->revoked.contains(serial("dev2")));
  EXPECT_EQ(read_crl(*crl, root_.certificate_pem).error().code, ErrorCode::permission_denied);
  Bytes forged = *crl;
  forged[forged.size() / 2] ^= 1;
  EXPECT_FALSE(read_crl(forged, issuing_.certificate_pem).ok());
}

TEST_F(PkiTest, AnEmptyCrlIsGoodToo) {
  write("crl.der", as_text(*make_crl(issuing_, {}, 1, now_, now_ + std::chrono::hours(1))));
  EXPECT_THAT(run("openssl crl -inform DER -in crl.der -noout -text -CAfile issuing.crt"),
              ::testing::AllOf(HasSubstr("verify OK"), HasSubstr("No Revoked Certificates")));
}

TEST_F(PkiTest, OcspAnswersOpensslAndGnutls) {
  const OcspSigner signer = responder();
  const auto look_up = [&](const std::string& s) {
    CertificateState state;
    if (s == serial("dev1")) state = {CertificateState::Kind::revoked, now_, RevocationReason::key_compromise};
    if (s == serial("dev2")) state.kind = CertificateState::Kind::good;
    return state;
  };
  for (const std::string digest : {"-sha1", "-sha256"}) {
    run("openssl ocsp -issuer issuing.crt " + digest + " -cert dev1.crt -cert dev2.crt -reqout request.der");
    const OcspAnswer answer = answer_ocsp(read("request.der"), signer, look_up, now_, std::chrono::minutes(10));
    EXPECT_TRUE(answer.has_nonce);
    write("answer.der", as_text(answer.der));
    // The nonce against the request that was sent; then the statuses, for which openssl makes a request of its own.
    EXPECT_THAT(run("openssl ocsp -issuer issuing.crt -reqin request.der -respin answer.der -CAfile root.crt"),
                ::testing::AllOf(HasSubstr("Response verify OK"), Not(HasSubstr("WARNING")), HasSubstr("exit 0")));
    const std::string text = run("openssl ocsp -no_nonce -issuer issuing.crt " + digest +
                                 " -cert dev1.crt -cert dev2.crt -respin answer.der -CAfile root.crt");
    EXPECT_THAT(text, HasSubstr("dev1.crt: revoked"));
    EXPECT_THAT(text, HasSubstr("dev2.crt: good"));
  }
  write("signer.crt", signer.certificate_pem);
  EXPECT_THAT(
      run("ocsptool --verify-response --load-signer signer.crt --load-issuer issuing.crt --load-response answer.der"),
      HasSubstr("Verifying OCSP Response: Success"));
}

TEST_F(PkiTest, OcspClientSideChecksWhatItGets) {
  const OcspSigner signer = responder();
  const auto revoked = [&](const std::string&) {
    return CertificateState{CertificateState::Kind::revoked, now_, RevocationReason::unspecified};
  };
  const auto request = make_ocsp_request(certificates_["dev1"], issuing_.certificate_pem);
  const OcspAnswer answer = answer_ocsp(*request, signer, revoked, now_, std::chrono::minutes(10));
  EXPECT_FALSE(answer.has_nonce);
  const auto state = read_ocsp_answer(answer.der, certificates_["dev1"], issuing_.certificate_pem);
  ASSERT_TRUE(state.ok()) << state.error().message;
  EXPECT_EQ(state->kind, CertificateState::Kind::revoked);
  EXPECT_EQ(read_ocsp_answer(answer.der, certificates_["dev2"], issuing_.certificate_pem).error().code,
            ErrorCode::not_found);
  const OcspSigner stranger{signer.key, certificates_["dev2"],
                            issuing_.certificate_pem};  // no OCSP signing certificate
  const OcspAnswer forged = answer_ocsp(*request, stranger, revoked, now_, std::chrono::minutes(10));
  EXPECT_FALSE(read_ocsp_answer(forged.der, certificates_["dev1"], issuing_.certificate_pem).ok());
}

TEST_F(PkiTest, OcspRefusesWhatItShould) {
  const OcspSigner signer = responder();
  const auto unknown = [](const std::string&) { return CertificateState(); };
  EXPECT_TRUE(answer_ocsp(as_bytes("nonsense"), signer, unknown, now_, Millis(1000)).is_error);
  EXPECT_TRUE(answer_ocsp(Bytes(ocsp_request_bytes_max + 1, 0), signer, unknown, now_, Millis(1000)).is_error);
  run("openssl ocsp -issuer root.crt -cert issuing.crt -reqout foreign.der");
  const OcspAnswer foreign = answer_ocsp(read("foreign.der"), signer, unknown, now_, Millis(1000));
  EXPECT_EQ(foreign.der, (Bytes{0x30, 0x03, 0x0A, 0x01, 0x06})) << "unauthorized (6)";
  std::string many = "openssl ocsp -issuer issuing.crt -reqout many.der";
  for (int i = 1; i <= ocsp_ids_max + 1; ++i) many += fmt::format(" -serial {}", i);
  run(many);
  EXPECT_TRUE(answer_ocsp(read("many.der"), signer, unknown, now_, Millis(1000)).is_error);
}

TEST_F(PkiTest, SigningRequestsProveTheirKey) {
  const auto key = crypto::PrivateKey::generate();
  const auto request = make_signing_request(*key, "whatever");
  ASSERT_TRUE(request.ok());
  const auto read_back = read_signing_request(*request);
  ASSERT_TRUE(read_back.ok()) << read_back.error().message;
  EXPECT_EQ(read_back->to_pem(), key->public_key().to_pem());
  run("openssl ecparam -name prime256v1 -genkey -noout -out k.pem; openssl req -new -key k.pem -subj /CN=x -out "
      "good.csr");
  EXPECT_TRUE(read_signing_request(as_text(read("good.csr"))).ok());
  run("openssl req -newkey rsa:2048 -nodes -keyout r.pem -subj /CN=x -out rsa.csr");
  EXPECT_FALSE(read_signing_request(as_text(read("rsa.csr"))).ok());
  std::string broken = *request;
  broken[broken.size() / 2] = broken[broken.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(read_signing_request(broken).ok());
}

TEST_F(PkiTest, ProbesAreShortLivedAndMarked) {
  LeafRequest request;
  request.purpose = Purpose::probe;
  request.common_name = "dev1";
  request.uris = {probe_uri("dev1")};
  request.lifetime = years(1);
  const auto pem = issue(issuing_, issuing_.key.public_key(), request, now_, random_);
  const auto info = read_certificate(*pem);
  EXPECT_EQ(probe_thing(*info), "dev1");
  EXPECT_LE(info->not_after - info->not_before, probe_lifetime_max);
  EXPECT_EQ(probe_thing(*read_certificate(certificates_["dev1"])), "");
}

TEST_F(PkiTest, NamesCannotSmuggleExtensions) {
  LeafRequest request;
  request.common_name = "x";
  request.lifetime = years(1);
  request.uris = {"urn:a,DNS:evil"};
  EXPECT_FALSE(issue(issuing_, issuing_.key.public_key(), request, now_, random_).ok());
}

}  // namespace
}  // namespace fleetward::pki
