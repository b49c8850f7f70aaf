#include "net/net_fixture.hpp"

#include <random>

#include "crypto/digest.hpp"
#include "net/tls_session.hpp"

namespace fleetward::net {
namespace {

using namespace testing_support;  // the fixture is there for this file
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TlsTest : public NetTest {};

TEST_F(TlsTest, MutualTlsTellsWhoThePeerIs) {
  TlsServerConfig server = server_config();
  server.alpn = {"mqtt", "http/1.1"};
  TlsClientConfig config = client_config();
  config.alpn = {"x", "mqtt"};
  listen(context(server));
  const auto client = dial(context(config));
  ASSERT_TRUE(wait([this] { return accepted_.size() == 1 && accepted_[0]->opened; }));
  const TlsInfo info = *accepted_[0]->opened;
  const std::string shown =
      run("openssl x509 -in " + certificates_->path("client.crt").string() + " -outform DER | sha256sum");
  EXPECT_EQ(info.peer_fingerprint, shown.substr(0, 64));
  EXPECT_EQ(info.peer_fingerprint, crypto::sha256_hex(ByteView(info.peer_certificate_der)));
  EXPECT_EQ(info.version, "TLSv1.3");
  EXPECT_EQ(info.alpn, "mqtt");
  EXPECT_EQ(info.server_name, "gateway.test");
  EXPECT_FALSE(info.resumed);
  on_loop([&] { client->connection->write("hello"); });
  EXPECT_TRUE(wait([&] { return client->received == "hello"; }));
  on_loop([&] { client->connection->close(); });
  EXPECT_TRUE(wait([this] { return accepted_[0]->closed.has_value(); }));
}

TEST_F(TlsTest, AfterAbortNothingIsHandedOnAnyMore) {
  on_data_ = [](End& end, ByteView) { end.connection->abort(); };
  listen(context(server_config()));
  const auto client = dial(context(client_config()));
  ASSERT_TRUE(wait([this, &client] { return accepted_.size() == 1 && accepted_[0]->opened && client->opened; }));
  on_loop([&] { client->connection->write(std::string(60'000, 'x')); });  // several TLS records, read at once
  ASSERT_TRUE(wait([this] { return accepted_[0]->closed.has_value(); }));
  EXPECT_LE(accepted_[0]->received.size(), 16'384U);
}

TEST_F(TlsTest, AClientThatOffersNoneOfOurProtocolsIsRefused) {
  TlsServerConfig server = server_config();
  server.alpn = {"mqtt"};
  listen(context(server));
  TlsClientConfig config = client_config();
  config.alpn = {"h2"};
  const auto client = dial(context(config));
  EXPECT_TRUE(wait([&] { return client->closed.has_value(); }));
  EXPECT_FALSE(client->opened.has_value());
}

TEST_F(TlsTest, OnlyVersions12And13) {
  on_open_ = [](End& end) {
    end.connection->write("welcome");
    end.connection->close();
  };
  listen(context(server_config()));
  EXPECT_THAT(s_client(identity_arguments() + " -tls1_2"), HasSubstr("welcome"));
  EXPECT_EQ(on_loop([this] { return accepted_.back()->opened->version; }), "TLSv1.2");
  EXPECT_THAT(s_client(identity_arguments() + " -tls1_3"), HasSubstr("welcome"));
  EXPECT_THAT(s_client(identity_arguments() + " -tls1_1 -cipher DEFAULT@SECLEVEL=0"), Not(HasSubstr("welcome")));
  EXPECT_FALSE(on_loop([this] { return accepted_.back()->opened.has_value(); }));
}

TEST_F(TlsTest, ClientsWithoutAGoodCertificateNeverOpen) {
  on_open_ = [](End& end) { end.connection->write("welcome"); };
  listen(context(server_config()));
  EXPECT_THAT(s_client("-tls1_2"), AnyOf(HasSubstr("handshake failure"), HasSubstr("alert")));
  EXPECT_THAT(s_client("-tls1_3"), HasSubstr("certificate required"));
  EXPECT_THAT(s_client(identity_arguments("stranger")), HasSubstr("alert"));
  EXPECT_THAT(s_client(identity_arguments("server")), HasSubstr("alert")) << "a server's certificate is no client's";
  on_loop([this] {
    for (const auto& end : accepted_) EXPECT_FALSE(end->opened.has_value());
  });
}

TEST_F(TlsTest, ARevokedClientGetsTheAlertThatSaysSo) {
  on_open_ = [](End& end) { end.connection->write("welcome"); };
  listen(context(server_config()));
  set_verdict(PeerVerdict::revoked);
  EXPECT_THAT(s_client(identity_arguments() + " -tls1_3"), HasSubstr("certificate revoked"));
  EXPECT_THAT(s_client(identity_arguments() + " -tls1_2"), HasSubstr("certificate revoked"));
  set_verdict(PeerVerdict::expired);
  EXPECT_THAT(s_client(identity_arguments()), HasSubstr("certificate expired"));
  set_verdict(PeerVerdict::unknown);
  EXPECT_THAT(s_client(identity_arguments()), AnyOf(HasSubstr("certificate unknown"), HasSubstr("bad certificate")));
  on_loop([this] {
    for (const auto& end : accepted_) {
      EXPECT_FALSE(end->opened.has_value());
      EXPECT_EQ(end->verified, 1);
    }
  });
}

TEST_F(TlsTest, ResumedSessionsShowTheCertificateInOpenAlone) {
  on_open_ = [](End& end) {
    end.connection->write("welcome");
    end.connection->close();
  };
  set_verdict(PeerVerdict::accept);
  TlsServerConfig server = server_config();
  server.resumption = true;
  listen(context(server));
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    const std::string session = certificates_->path("session" + version).string();
    EXPECT_THAT(s_client(fmt::format("{} {} -sess_out {}", identity_arguments(), version, session)),
                HasSubstr("welcome"));
    const auto full = newest();
    EXPECT_THAT(s_client(fmt::format("{} {} -sess_in {}", identity_arguments(), version, session)),
                AnyOf(HasSubstr("Reused, TLSv1.2"), HasSubstr("Reused, TLSv1.3")));
    const auto resumed = newest();
    on_loop([&] {
      ASSERT_TRUE(full->opened && resumed->opened) << version;
      EXPECT_FALSE(full->opened->resumed);
      EXPECT_EQ(full->verified, 1);
      EXPECT_TRUE(resumed->opened->resumed) << version;
      EXPECT_EQ(resumed->verified, 0);
      EXPECT_EQ(resumed->opened->peer_fingerprint, full->opened->peer_fingerprint);
      EXPECT_FALSE(resumed->opened->peer_certificate_der.empty());
    });
  }
}

TEST_F(TlsTest, ATicketOfAnEarlierContextIsNotTakenUp) {
  on_open_ = [](End& end) {
    end.connection->write("welcome");
    end.connection->close();
  };
  TlsServerConfig server = server_config();
  server.resumption = true;
  listen(context(server));
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    const std::string session = certificates_->path("earlier" + version).string();
    s_client(fmt::format("{} {} -sess_out {}", identity_arguments(), version, session));
    on_loop([&] { listener_->set_tls(context(server)); });
    const std::string resumed = s_client(fmt::format("{} {} -sess_in {}", identity_arguments(), version, session));
    EXPECT_THAT(resumed, HasSubstr("welcome"));
    EXPECT_THAT(resumed, Not(HasSubstr("Reused, "))) << "it was proven to authorities that may be trusted no more";
  }
}

TEST_F(TlsTest, WithoutTheSwitchNothingIsResumed) {
  on_open_ = [](End& end) {
    end.connection->write("welcome");
    end.connection->close();
  };
  listen(context(server_config()));
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    const std::string session = certificates_->path("none" + version).string();
    s_client(fmt::format("{} {} -sess_out {}", identity_arguments(), version, session));
    if (fs::exists(session)) s_client(fmt::format("{} {} -sess_in {}", identity_arguments(), version, session));
  }
  on_loop([this] {
    for (const auto& end : accepted_) EXPECT_FALSE(end->opened && end->opened->resumed);
  });
}

TEST_F(TlsTest, ContextsAreSwappedForNewConnections) {
  listen(context(server_config()));
  const auto before = dial(context(client_config()));
  ASSERT_TRUE(wait([&] { return before->opened.has_value(); }));
  TlsServerConfig next = server_config();
  next.certificate_chain_pem = certificates_->text("server2.crt");
  next.private_key_pem = certificates_->text("server2.key");
  on_loop([&] { listener_->set_tls(context(next)); });
  const auto after = dial(context(client_config()));
  ASSERT_TRUE(wait([&] { return after->opened.has_value(); }));
  EXPECT_NE(before->opened->peer_fingerprint, after->opened->peer_fingerprint);
  on_loop([&] { before->connection->write("still here"); });
  EXPECT_TRUE(wait([&] { return before->received == "still here"; }));
}

TEST_F(TlsTest, OurClientChecksTheServersNameAndAuthority) {
  listen(context(server_config()));
  TlsClientConfig other_name = client_config();
  other_name.server_name = "other.test";
  TlsClientConfig other_authority = client_config();
  other_authority.ca_pem = certificates_->text("foreign.crt");
  TlsClientConfig other_address = client_config();
  other_address.server_name = "127.0.0.2";
  for (const auto& bad : {other_name, other_authority, other_address}) {
    const auto client = dial(context(bad));
    ASSERT_TRUE(wait([&] { return client->closed.has_value(); }));
    EXPECT_FALSE(client->opened.has_value());
    EXPECT_EQ(client->closed->code, ErrorCode::unavailable);
  }
  TlsClientConfig address = client_config();
  address.server_name = "127.0.0.1";
  const auto client = dial(context(address));
  EXPECT_TRUE(wait([&] { return client->opened.has_value(); }));
}

TEST_F(TlsTest, OurClientSpeaksWithOpensslsServer) {
  on_loop([this] {  // a free port, given back at once
    auto opened = Listener::open(loop_, {"127.0.0.1", 0}, nullptr, [](auto) {});
    port_ = (*opened)->port();
  });
  const std::string command = fmt::format(
      "timeout 20 openssl s_server -accept 127.0.0.1:{} -cert {} -key {} -CAfile {} -Verify 1 -verify_return_error "
      "-rev "
      "-quiet -naccept 50 >/dev/null 2>&1 & echo $!",
      port_, certificates_->path("server.crt").string(), certificates_->path("server.key").string(),
      certificates_->path("ca.crt").string());
  FILE* pipe = ::popen(command.c_str(), "r");
  int pid = 0;
  ASSERT_EQ(std::fscanf(pipe, "%d", &pid), 1);
  ::pclose(pipe);
  std::shared_ptr<End> client;
  for (int i = 0; i < 200 && !(client && client->opened); ++i) {  // until it listens
    client = dial(context(client_config()));
    ASSERT_TRUE(wait([&] { return client->opened || client->closed; }));
    if (!client->opened) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ASSERT_TRUE(client->opened.has_value());
  on_loop([&] { client->connection->write("abc\n"); });
  EXPECT_TRUE(wait([&] { return client->received == "cba\n"; })) << client->received;
  ::kill(pid, SIGTERM);
}

// ---- settings and hostile bytes

TEST_F(TlsTest, BadSettingsAreToldWithoutTheKey) {
  TlsServerConfig wrong_key = server_config();
  wrong_key.private_key_pem = certificates_->text("client.key");
  TlsServerConfig no_certificate = server_config();
  no_certificate.certificate_chain_pem = "nonsense";
  TlsServerConfig no_key = server_config();
  no_key.private_key_pem = "secret nonsense";
  TlsServerConfig no_authority = server_config();
  no_authority.client_ca_pem = "";
  for (const auto& bad : {wrong_key, no_certificate, no_key, no_authority}) {
    const auto made = TlsContext::for_server(bad);
    ASSERT_FALSE(made.ok());
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(made.error().message, Not(HasSubstr("secret")));
    EXPECT_THAT(made.error().message, Not(HasSubstr("BEGIN")));
  }
  TlsClientConfig nameless = client_config();
  nameless.server_name.clear();
  EXPECT_FALSE(TlsContext::for_client(nameless).ok()) << "it would take any server of that authority";
}

TEST_F(TlsTest, ACertificateThatIsCutShortIsNotTheEndOfTheList) {
  const std::string whole = certificates_->text("ca.crt");
  for (const std::string& spoilt : {whole.substr(0, whole.size() / 2), whole.substr(0, whole.size() - 10),
                                    std::string("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")}) {
    TlsServerConfig chain = server_config();
    chain.certificate_chain_pem += spoilt;
    EXPECT_FALSE(TlsContext::for_server(chain).ok()) << "clients would get a part of the chain";
    TlsServerConfig authorities = server_config();
    authorities.client_ca_pem += spoilt;
    EXPECT_FALSE(TlsContext::for_server(authorities).ok()) << "clients of that authority would be refused";
  }
  TlsServerConfig commented = server_config();
  commented.client_ca_pem += "\n# Old authority, left out\n";
  EXPECT_TRUE(TlsContext::for_server(commented).ok());
}

TEST_F(TlsTest, RandomAndMutatedRecordsOnlyEverEndTheSession) {
  std::mt19937 random(7);
  const auto server_context = context(server_config());
  const auto client_context = context(client_config());
  for (int round = 0; round < 300; ++round) {
    std::string hello, out;
    TlsSession server(server_context, TlsSession::Role::server, out);
    TlsSession client(client_context, TlsSession::Role::client, hello);
    EXPECT_TRUE(client.handshake().ok());
    const int flips = round % 5;
    for (int i = 0; i < flips; ++i) hello[random() % hello.size()] = static_cast<char>(random());
    if (round % 7 == 0)
      for (char& c : hello) c = static_cast<char>(random());
    if (round % 3 == 0) hello.resize(random() % hello.size());
    server.feed(as_bytes(hello));
    const auto done = server.handshake();
    EXPECT_FALSE(done.ok() && *done);
    client.feed(as_bytes(out));
    const auto client_done = client.handshake();
    EXPECT_FALSE(client_done.ok() && *client_done && flips > 0 && round % 7 == 0);
  }
}

}  // namespace
}  // namespace fleetward::net
