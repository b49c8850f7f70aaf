// Against other people's code: openssl and GnuTLS read what we write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <set>

#include "crypto/openssl.hpp"
#include "pki/crl.hpp"
#include "pki/ocsp.hpp"

namespace fleetward::pki {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pki-").string() + std::string(6, 'X');
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

TEST_F(PkiTest, ACertificateIsForItsNamesAlone) {
  LeafRequest request;
  request.purpose = Purpose::server;
  request.common_name = "other.test";
  request.dns_names = {"gw.test"};
  request.ip_addresses = {"127.0.0.1", "::1"};
  request.lifetime = years(1);
  const auto pem = issue(issuing_, crypto::PrivateKey::generate()->public_key(), request, now_, random_);
  ASSERT_TRUE(pem.ok()) << pem.error().message;
  for (const char* host : {"gw.test", "GW.test", "127.0.0.1", "::1"})
    EXPECT_TRUE(is_certificate_for(*pem, host)) << host;
  for (const char* host : {"other.test", "gw.test.evil", "127.0.0.2", ""}) {
    EXPECT_FALSE(is_certificate_for(*pem, host)) << host;
  }
  EXPECT_FALSE(is_certificate_for("no certificate", "gw.test"));
}

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

TEST_F(PkiTest, ALargeCrlIsSmallAndRight) {
  std::vector<RevokedEntry> entries;
  crypto::SeededRandom random(1);
  for (int i = 0; i < 100'000; ++i) {
    entries.push_back({random.hex(16), now_ - std::chrono::minutes(i), RevocationReason::unspecified});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.serial < b.serial; });
  entries[5].reason = RevocationReason::superseded;
  const auto crl = make_crl(issuing_, entries, 1'000'000, now_, now_ + std::chrono::hours(168));
  ASSERT_TRUE(crl.ok());
  EXPECT_LT(crl->size(), entries.size() * 37) << "a serial, a time and no more";
  const auto info = read_crl(*crl, issuing_.certificate_pem);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->number, 1'000'000);
  ASSERT_EQ(info->revoked.size(), entries.size());
  for (const auto& e : entries) {
    const std::size_t zeros = std::min(e.serial.find_first_not_of('0') / 2 * 2, e.serial.size());
    const auto found = info->revoked.find(e.serial.substr(zeros));
    ASSERT_NE(found, info->revoked.end()) << e.serial;
    ASSERT_EQ(found->second, std::chrono::floor<std::chrono::seconds>(e.at));
  }
}

TEST_F(PkiTest, CrlNumbersSerialsAndTimesAtTheirEdges) {
  const std::vector<RevokedEntry> entries = {
      {"01", *parse_rfc3339("2049-12-31T23:59:59Z"), RevocationReason::superseded},
      {"7f", *parse_rfc3339("2050-01-01T00:00:00Z"), RevocationReason::unspecified},
      {"80", now_, RevocationReason::cessation_of_operation},
      {"abc", now_, RevocationReason::unspecified},
      {"00ff", now_, RevocationReason::unspecified},
      {std::string(40, 'f'), now_, RevocationReason::affiliation_changed}};
  const auto crl = make_crl(issuing_, entries, 128, now_, *parse_rfc3339("2051-02-03T04:05:06Z"));
  ASSERT_TRUE(crl.ok()) << crl.error().message;
  write("crl.der", as_text(*crl));
  const std::string text = run("openssl crl -inform DER -in crl.der -noout -text -CAfile issuing.crt");
  for (const char* part : {"verify OK", "Dec 31 23:59:59 2049 GMT", "Jan  1 00:00:00 2050 GMT", "Serial Number: 80\n",
                           "Serial Number: 0ABC", "Serial Number: FF\n", "Feb  3 04:05:06 2051 GMT", "Superseded"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(read_crl(*crl, issuing_.certificate_pem)->number, 128);
  for (const std::string& serial : {std::string(), std::string("xyz"), std::string(42, 'f')}) {
    EXPECT_EQ(make_crl(issuing_, {{serial, now_}}, 1, now_, now_).error().code, ErrorCode::invalid_argument) << serial;
  }
  Bytes trailing = *crl;
  trailing.push_back(0);
  EXPECT_FALSE(read_crl(trailing, issuing_.certificate_pem).ok());
}

// What is refused leaves no trace in the list, and more entries than were expected find room.
TEST_F(PkiTest, ACrlIsWrittenEntryByEntry) {
  auto writer = CrlWriter::begin(issuing_, 3, now_, now_ + std::chrono::hours(1), 2);
  ASSERT_TRUE(writer.ok()) << writer.error().message;
  std::vector<RevokedEntry> entries;
  for (int i = 1; i <= 300; ++i) {
    entries.push_back({fmt::format("{:x}", 0x1000 + i), now_, RevocationReason::superseded});
    ASSERT_TRUE(writer->add(entries.back().serial, now_, entries.back().reason).ok());
    ASSERT_EQ(writer->add("12g4", now_, RevocationReason::superseded).error().code, ErrorCode::invalid_argument);
  }
  const auto crl = std::move(*writer).finish();
  ASSERT_TRUE(crl.ok()) << crl.error().message;
  const auto info = read_crl(*crl, issuing_.certificate_pem);
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->revoked.size(), entries.size());
  for (const RevokedEntry& e : entries) EXPECT_TRUE(info->revoked.contains(e.serial)) << e.serial;
  write("crl.der", as_text(*crl));
  EXPECT_THAT(run("openssl crl -inform DER -in crl.der -noout -CAfile issuing.crt"), HasSubstr("verify OK"));
  EXPECT_FALSE(CrlWriter::begin({issuing_.key, "no certificate"}, 1, now_, now_, 0).ok());
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
  const auto state = read_ocsp_answer(answer.der, certificates_["dev1"], issuing_.certificate_pem, now_);
  ASSERT_TRUE(state.ok()) << state.error().message;
  EXPECT_EQ(state->kind, CertificateState::Kind::revoked);
  EXPECT_EQ(read_ocsp_answer(answer.der, certificates_["dev2"], issuing_.certificate_pem, now_).error().code,
            ErrorCode::not_found);
  const OcspSigner stranger{signer.key, certificates_["dev2"],
                            issuing_.certificate_pem};  // no OCSP signing certificate
  const OcspAnswer forged = answer_ocsp(*request, stranger, revoked, now_, std::chrono::minutes(10));
  EXPECT_FALSE(read_ocsp_answer(forged.der, certificates_["dev1"], issuing_.certificate_pem, now_).ok());
  for (const Millis away : {Millis(-4 * 60'000), Millis(20 * 60'000)}) {
    const auto stale = read_ocsp_answer(answer.der, certificates_["dev1"], issuing_.certificate_pem, now_ + away);
    EXPECT_EQ(stale.error().code, ErrorCode::failed_precondition) << away.count();
  }
}

TEST_F(PkiTest, AResponderNeedsTheKeyOfItsCertificate) {
  const OcspSigner signer = responder();
  ASSERT_TRUE(OcspResponder::make(signer).ok());
  const OcspSigner mixed{*crypto::PrivateKey::generate(), signer.certificate_pem, signer.issuer_pem};
  EXPECT_EQ(OcspResponder::make(mixed).error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(OcspResponder::make({signer.key, signer.certificate_pem, "nothing"}).ok());
  const auto good = [](const std::string&) { return CertificateState{CertificateState::Kind::good, {}, {}}; };
  const auto request = make_ocsp_request(certificates_["dev1"], issuing_.certificate_pem);
  EXPECT_EQ(answer_ocsp(*request, mixed, good, now_, Millis(1000)).der, (Bytes{0x30, 0x03, 0x0A, 0x01, 0x02}))
      << "internalError (2)";
}

// The nonce is an OCTET STRING in the extension's value: 1 to 128 octets are echoed, others are malformedRequest (1).
TEST_F(PkiTest, NonceLengthIsCapped) {
  const OcspSigner signer = responder();
  const auto good = [](const std::string&) { return CertificateState{CertificateState::Kind::good, {}, {}}; };
  const auto plain = make_ocsp_request(certificates_["dev1"], issuing_.certificate_pem);
  for (const int length : {0, 1, 32, 127, 128, 129, 300}) {
    const unsigned char* cursor = plain->data();
    const std::unique_ptr<OCSP_REQUEST, crypto::OpensslFree<OCSP_REQUEST_free>> request(
        d2i_OCSP_REQUEST(nullptr, &cursor, static_cast<long>(plain->size())));
    using OctetString = std::unique_ptr<ASN1_OCTET_STRING, crypto::OpensslFree<ASN1_OCTET_STRING_free>>;
    const Bytes octets(static_cast<std::size_t>(length), 0x5A);
    const OctetString nonce(ASN1_OCTET_STRING_new());
    ASN1_OCTET_STRING_set(nonce.get(), octets.data(), length);
    const Bytes framed = crypto::to_der(nonce.get(), i2d_ASN1_OCTET_STRING);
    const OctetString value(ASN1_OCTET_STRING_new());
    ASN1_OCTET_STRING_set(value.get(), framed.data(), static_cast<int>(framed.size()));
    const crypto::CertExtensionHandle extension(
        X509_EXTENSION_create_by_NID(nullptr, NID_id_pkix_OCSP_Nonce, 0, value.get()));
    ASSERT_EQ(OCSP_REQUEST_add_ext(request.get(), extension.get(), -1), 1);
    const Bytes der = crypto::to_der(request.get(), i2d_OCSP_REQUEST);
    const OcspAnswer answer = answer_ocsp(der, signer, good, now_, std::chrono::minutes(10));
    const bool allowed = length >= 1 && length <= 128;
    EXPECT_EQ(answer.is_error, !allowed) << length;
    EXPECT_EQ(answer.has_nonce, allowed) << length;
    if (!allowed) EXPECT_EQ(answer.der, (Bytes{0x30, 0x03, 0x0A, 0x01, 0x01})) << length;
    if (allowed) EXPECT_NE(as_text(answer.der).find(as_text(octets)), std::string_view::npos) << length;
  }
}

// Same time in, same times out: nothing in an answer is of the machine's own clock.
TEST_F(PkiTest, AnswersAreOfTheTimeThatIsGiven) {
  const auto good = [](const std::string&) { return CertificateState{CertificateState::Kind::good, {}, {}}; };
  const auto request = make_ocsp_request(certificates_["dev1"], issuing_.certificate_pem);
  const Instant then = *parse_rfc3339("2031-05-06T07:08:09Z");
  write("answer.der", as_text(answer_ocsp(*request, responder(), good, then, std::chrono::minutes(10)).der));
  EXPECT_THAT(run("openssl ocsp -respin answer.der -noverify -resp_text"),
              ::testing::AllOf(HasSubstr("Produced At: May  6 07:08:09 2031 GMT"),
                               HasSubstr("Next Update: May  6 07:18:09 2031 GMT")));
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

TEST_F(PkiTest, SerialsArePositiveRandomAndUnique) {
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) {
    const auto info = read_certificate(device("dev1"));
    ASSERT_EQ(info->serial.size(), 32U);
    EXPECT_LT(info->serial[0], '8') << "positive";
    EXPECT_TRUE(seen.insert(info->serial).second);
  }
}

TEST_F(PkiTest, LongestThingNameStandsInItsUri) {
  const std::string name(128, 'n');
  write("long.crt", device(name));
  const auto info = read_certificate(as_text(read("long.crt")));
  EXPECT_EQ(info->common_name, "") << "64 characters is the most that RFC 5280 allows";
  EXPECT_THAT(info->uris, ::testing::ElementsAre("urn:fleetward:thing:" + name));
  EXPECT_THAT(run("openssl verify -x509_strict -CAfile root.crt -untrusted issuing.crt long.crt"),
              HasSubstr("long.crt: OK"));
  EXPECT_EQ(read_certificate(device(std::string(64, 'n')))->common_name, std::string(64, 'n'));
}

TEST_F(PkiTest, ServerCertificatesNameTheirHosts) {
  LeafRequest request;
  request.purpose = Purpose::server;
  request.common_name = "gateway.example";
  request.dns_names = {"gateway.example", "localhost"};
  request.ip_addresses = {"127.0.0.1", "::1"};
  request.lifetime = years(50);
  write("server.crt", *issue(issuing_, crypto::PrivateKey::generate()->public_key(), request, now_, random_));
  const std::string verify = "openssl verify -x509_strict -purpose sslserver -CAfile root.crt -untrusted issuing.crt ";
  for (const char* at : {"-verify_hostname localhost", "-verify_ip 127.0.0.1", "-verify_ip ::1"}) {
    EXPECT_THAT(run(verify + at + " server.crt"), HasSubstr("server.crt: OK")) << at;
  }
  EXPECT_THAT(run(verify + "-verify_hostname other.example server.crt"), HasSubstr("ostname mismatch"));
  EXPECT_THAT(run("openssl verify -purpose sslclient -CAfile root.crt -untrusted issuing.crt server.crt"),
              Not(HasSubstr("server.crt: OK")));
  EXPECT_EQ(read_certificate(as_text(read("server.crt")))->not_after,
            read_certificate(issuing_.certificate_pem)->not_after)
      << "never after the issuer's";
}

TEST_F(PkiTest, TheHierarchyHasTwoLevels) {
  const auto key = crypto::PrivateKey::generate();
  write("third.crt", *make_issuing(issuing_, key->public_key(), "Third", now_, years(1), random_));
  EXPECT_THAT(run("openssl verify -CAfile root.crt -untrusted issuing.crt third.crt"), HasSubstr("third.crt: OK"));
  const Issuer third{*key, std::string(as_text(read("third.crt")))};
  LeafRequest request;
  request.common_name = "x";
  request.lifetime = years(1);
  write("below.crt", *issue(third, key->public_key(), request, now_, random_));
  run("cat issuing.crt third.crt > both.pem");
  EXPECT_THAT(run("openssl verify -CAfile root.crt -untrusted both.pem below.crt"),
              HasSubstr("path length constraint exceeded"));
}

TEST_F(PkiTest, ReadersAreBoundedAndRefuseNonsense) {
  EXPECT_EQ(read_certificate(std::string(pem_bytes_max + 1, 'x')).error().code, ErrorCode::resource_exhausted);
  EXPECT_EQ(read_certificate("").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(read_certificate_der(Bytes(pem_bytes_max + 1)).error().code, ErrorCode::resource_exhausted);
  EXPECT_EQ(read_signing_request(std::string(pem_bytes_max + 1, 'x')).error().code, ErrorCode::resource_exhausted);
  const Bytes der = *der_of_pem(certificates_["dev1"]);
  EXPECT_EQ(pem_of_der(der), certificates_["dev1"]);
  for (std::size_t size = 0; size < der.size(); size += 7) {
    EXPECT_FALSE(read_certificate_der(ByteView(der).first(size)).ok()) << size;
  }
  const auto question = make_ocsp_request(certificates_["dev1"], issuing_.certificate_pem);
  const auto unknown = [](const std::string&) { return CertificateState(); };
  for (std::size_t size = 0; size < question->size(); ++size) {
    EXPECT_TRUE(answer_ocsp(ByteView(*question).first(size), responder(), unknown, now_, Millis(1000)).is_error);
  }
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
