#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <random>

#include "crypto/digest.hpp"
#include "net/connection.hpp"
#include "net/tls_session.hpp"

namespace fleetward::net {
namespace {

namespace fs = std::filesystem;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::seconds patience{20};

// The shell's answer: output and errors.
std::string run(const std::string& command) {
  FILE* pipe = ::popen(("timeout 20 " + command + " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// An authority with a server and a client, and a foreign one with its own client: made once, by openssl.
class Certificates {
 public:
  Certificates() : dir_(fs::temp_directory_path() / fmt::format("fw_net_{}", ::getpid())) {
    fs::create_directories(dir_);
    make_authority("ca");
    make_authority("foreign");
    make_leaf("server", "ca", "subjectAltName=DNS:gateway.test,IP:127.0.0.1\nextendedKeyUsage=serverAuth");
    make_leaf("server2", "ca", "subjectAltName=DNS:gateway.test\nextendedKeyUsage=serverAuth");
    make_leaf("client", "ca", "extendedKeyUsage=clientAuth");
    make_leaf("stranger", "foreign", "extendedKeyUsage=clientAuth");
  }
  ~Certificates() { fs::remove_all(dir_); }
  [[nodiscard]] fs::path path(const std::string& name) const { return dir_ / name; }
  [[nodiscard]] std::string text(const std::string& name) const { return read_file(path(name)); }

 private:
  void make_authority(const std::string& name) {
    run(
        fmt::format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={1} "
                    "-keyout {0}/{1}.key -out {0}/{1}.crt",
                    dir_.string(), name));
  }
  void make_leaf(const std::string& name, const std::string& authority, const std::string& extensions) {
    std::ofstream(dir_ / "ext") << extensions << "\n";
    run(
        fmt::format("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={1} -keyout {0}/{1}.key "
                    "-out {0}/{1}.csr",
                    dir_.string(), name));
    run(
        fmt::format("openssl x509 -req -in {0}/{1}.csr -CA {0}/{2}.crt -CAkey {0}/{2}.key -days 30 -extfile {0}/ext "
                    "-out {0}/{1}.crt",
                    dir_.string(), name, authority));
  }
  fs::path dir_;
};

// What one end of a connection saw. Used on the loop's thread, looked at through NetTest::on_loop.
struct End {
  std::shared_ptr<Connection> connection;
  std::string received;
  std::optional<TlsInfo> opened;
  std::optional<Error> closed;
  int verified = 0;
  int drained = 0;
};

class NetTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { certificates_ = std::make_unique<Certificates>(); }
  static void TearDownTestSuite() { certificates_.reset(); }
  void TearDown() override {
    on_loop([this] {
      listener_.reset();
      for (const auto& end : accepted_) end->connection->abort();
      for (const auto& end : clients_) end->connection->abort();
    });
    wait([this] {
      const auto ended = [](const auto& end) { return end->closed.has_value(); };
      return std::all_of(accepted_.begin(), accepted_.end(), ended) &&
             std::all_of(clients_.begin(), clients_.end(), ended);
    });
    loop_.stop();
  }

  template <class F>
  std::invoke_result_t<F> on_loop(F body) {
    using T = std::invoke_result_t<F>;
    if constexpr (std::is_void_v<T>) {
      async::run_on(loop_, body);
    } else {
      std::optional<T> out;
      async::run_on(loop_, [&] { out = body(); });
      return *out;
    }
  }
  bool wait(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
      if (on_loop(condition)) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  TlsServerConfig server_config() {
    TlsServerConfig c;
    c.certificate_chain_pem = certificates_->text("server.crt");
    c.private_key_pem = certificates_->text("server.key");
    c.client_ca_pem = certificates_->text("ca.crt");
    c.require_client_certificate = true;
    return c;
  }
  TlsClientConfig client_config(const std::string& identity = "client") {
    TlsClientConfig c;
    c.ca_pem = certificates_->text("ca.crt");
    c.server_name = "gateway.test";
    if (!identity.empty()) {
      c.certificate_chain_pem = certificates_->text(identity + ".crt");
      c.private_key_pem = certificates_->text(identity + ".key");
    }
    return c;
  }
  static std::shared_ptr<const TlsContext> context(const TlsServerConfig& c) {
    auto made = TlsContext::for_server(c);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return *made;
  }
  static std::shared_ptr<const TlsContext> context(const TlsClientConfig& c) {
    auto made = TlsContext::for_client(c);
    EXPECT_TRUE(made.ok()) << made.error().message;
    return *made;
  }

  void listen(std::shared_ptr<const TlsContext> tls, ListenerOptions options = {},
              const std::string& host = "127.0.0.1") {
    on_loop([&] {
      auto opened = Listener::open(
          loop_, {host, 0}, std::move(tls), [this](std::shared_ptr<Connection> c) { accept(std::move(c)); }, options);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      listener_ = std::move(*opened);
      port_ = listener_->port();
    });
    ASSERT_NE(port_, 0);
  }
  void accept(std::shared_ptr<Connection> connection) {
    auto end = std::make_shared<End>();
    end->connection = connection;
    accepted_.push_back(end);
    Connection::Callbacks c = callbacks(end);
    c.data = [this, end](ByteView bytes) {
      end->received += as_text(bytes);
      if (on_data_) on_data_(*end, bytes);
    };
    c.open = [this, end](const TlsInfo& info) {
      end->opened = info;
      if (on_open_) on_open_(*end);
    };
    if (verdict_) {
      c.verify_peer = [this, end](ByteView) {
        ++end->verified;
        return *verdict_;
      };
    }
    connection->set_callbacks(std::move(c));
  }
  static Connection::Callbacks callbacks(const std::shared_ptr<End>& end) {
    Connection::Callbacks c;
    c.open = [end](const TlsInfo& info) { end->opened = info; };
    c.data = [end](ByteView bytes) { end->received += as_text(bytes); };
    c.closed = [end](const Error& error) { end->closed = error; };
    c.drained = [end] { ++end->drained; };
    return c;
  }
  std::shared_ptr<End> dial(std::shared_ptr<const TlsContext> tls, const std::string& host = "127.0.0.1",
                            ConnectionOptions options = {}, std::uint16_t port = 0) {
    auto end = std::make_shared<End>();
    on_loop([&] {
      end->connection = connect(loop_, {host, port == 0 ? port_ : port}, std::move(tls), callbacks(end), options);
      clients_.push_back(end);
    });
    return end;
  }
  void set_verdict(PeerVerdict verdict) {
    on_loop([&] { verdict_ = verdict; });
  }
  std::shared_ptr<End> newest() {
    return on_loop([this] { return accepted_.back(); });
  }
  std::string s_client(const std::string& more) {
    return run(
        fmt::format("openssl s_client -connect 127.0.0.1:{} -servername gateway.test -CAfile {} -ign_eof {} "
                    "</dev/null",
                    port_, certificates_->path("ca.crt").string(), more));
  }
  static std::string identity_arguments(const std::string& name = "client") {
    return fmt::format("-cert {} -key {}", certificates_->path(name + ".crt").string(),
                       certificates_->path(name + ".key").string());
  }

  static inline std::unique_ptr<Certificates> certificates_;
  async::LoopThread loop_{"net-test"};
  std::unique_ptr<Listener> listener_;
  std::uint16_t port_ = 0;
  std::optional<PeerVerdict> verdict_;
  std::function<void(End&)> on_open_;
  std::function<void(End&, ByteView)> on_data_ = [](End& end, ByteView bytes) { end.connection->write(bytes); };
  std::vector<std::shared_ptr<End>> accepted_;
  std::vector<std::shared_ptr<End>> clients_;
};

// ---- plain

TEST_F(NetTest, PlainEchoOverIpv4AndIpv6) {
  for (const std::string host : {"127.0.0.1", "::1"}) {
    listen(nullptr, {}, host);
    const auto client = dial(nullptr, host);
    ASSERT_TRUE(wait([&] { return client->opened.has_value(); })) << host;
    on_loop([&] { client->connection->write("hello"); });
    EXPECT_TRUE(wait([&] { return client->received == "hello"; })) << host;
  }
}

TEST_F(NetTest, NamesAreResolvedAndWhatIsNotThereIsUnavailable) {
  listen(nullptr);
  const auto client = dial(nullptr, "localhost");
  EXPECT_TRUE(wait([&] { return client->opened.has_value(); }));
  on_loop([this] { listener_->close(); });
  const auto refused = dial(nullptr);
  ASSERT_TRUE(wait([&] { return refused->closed.has_value(); }));
  EXPECT_EQ(refused->closed->code, ErrorCode::unavailable);
  const auto unknown = dial(nullptr, "no-such-host.invalid");
  ASSERT_TRUE(wait([&] { return unknown->closed.has_value(); }));
  EXPECT_EQ(unknown->closed->code, ErrorCode::unavailable);
}

TEST_F(NetTest, AnAddressCanBeTakenOnce) {
  listen(nullptr);
  on_loop([this] {
    const auto again = Listener::open(loop_, {"127.0.0.1", port_}, nullptr, [](auto) {});
    EXPECT_EQ(again.ok() ? ErrorCode::internal : again.error().code, ErrorCode::unavailable);
    const auto name = Listener::open(loop_, {"not-an-address", 0}, nullptr, [](auto) {});
    EXPECT_EQ(name.ok() ? ErrorCode::internal : name.error().code, ErrorCode::invalid_argument);
  });
}

TEST_F(NetTest, CloseSendsWhatIsQueuedFirst) {
  const std::string much(3 << 20, 'x');
  on_open_ = [&much](End& end) {
    end.connection->write(much);
    end.connection->close();
    end.connection->write("after the end");
  };
  for (const bool with_tls : {false, true}) {
    listen(with_tls ? context(server_config()) : nullptr);
    const auto client = dial(with_tls ? context(client_config()) : nullptr);
    ASSERT_TRUE(wait([&] { return client->closed.has_value(); }));
    EXPECT_EQ(client->received.size(), much.size()) << with_tls;
    ASSERT_TRUE(wait([this] { return accepted_.back()->closed.has_value(); }));
    EXPECT_EQ(accepted_.back()->closed->code, ErrorCode::cancelled);
  }
}

TEST_F(NetTest, ConnectionsMayBeEndedFromTheirOwnCallbacks) {
  listen(nullptr);
  on_data_ = [](End& end, ByteView) { end.connection->abort(); };
  const auto first = dial(nullptr);
  on_loop([&] { first->connection->write("x"); });  // before it is open: not sent
  ASSERT_TRUE(wait([&] { return first->opened.has_value(); }));
  on_loop([&] { first->connection->write("y"); });
  EXPECT_TRUE(wait([&] { return first->closed.has_value(); }));
  on_open_ = [](End& end) { end.connection->close(); };
  const auto second = dial(nullptr);
  EXPECT_TRUE(wait([&] { return second->closed.has_value(); }));
}

// ---- limits

TEST_F(NetTest, ConnectionsOverTheLimitAreClosedAndCounted) {
  ListenerOptions options;
  options.connections_max = 2;
  listen(nullptr, options);
  const auto first = dial(nullptr);
  const auto second = dial(nullptr);
  ASSERT_TRUE(wait([&] { return first->opened && second->opened && listener_->connections() == 2; }));
  const auto third = dial(nullptr);
  EXPECT_TRUE(wait([&] { return third->closed.has_value(); }));
  EXPECT_EQ(on_loop([this] { return listener_->refused(); }), 1U);
  on_loop([&] { first->connection->close(); });
  ASSERT_TRUE(wait([this] { return listener_->connections() == 1; }));
  const auto fourth = dial(nullptr);
  on_loop([&] { fourth->connection->write("x"); });
  EXPECT_TRUE(wait([&] { return fourth->opened.has_value(); }));
}

TEST_F(NetTest, APeerThatDoesNotReadFillsTheQueueUpToItsLimit) {
  ListenerOptions options;
  options.connection.write_queue_bytes_max = 1 << 20;
  for (const bool with_tls : {false, true}) {
    bool low = false;
    on_open_ = [&low](End& end) {
      const std::string piece(64 << 10, 'x');
      for (int i = 0; i < 1000 && !end.closed; ++i) {
        end.connection->write(piece);
        low = low || !end.connection->can_write();
      }
    };
    listen(with_tls ? context(server_config()) : nullptr, options);
    const auto client = dial(with_tls ? context(client_config()) : nullptr);
    on_loop([&] { client->connection->pause_reading(); });
    if (with_tls) on_loop([&] { client->connection->resume_reading(); });  // the handshake needs to be read
    ASSERT_TRUE(wait([this] { return accepted_.back()->closed.has_value(); })) << with_tls;
    EXPECT_EQ(accepted_.back()->closed->code, ErrorCode::resource_exhausted);
    EXPECT_TRUE(low) << "the high-water mark warns before";
  }
}

TEST_F(NetTest, BackPressureEndsWithDrainedAndLosesNothing) {
  constexpr std::size_t total = 12 << 20;
  ListenerOptions options;
  options.connection.write_queue_bytes_max = 16 << 20;
  const std::string piece(1 << 20, 'x');
  for (const bool with_tls : {false, true}) {
    on_open_ = [&piece](End& end) {
      for (std::size_t n = 0; n < total; n += piece.size()) end.connection->write(piece);
      EXPECT_FALSE(end.connection->can_write());
    };
    listen(with_tls ? context(server_config()) : nullptr, options);
    auto end = std::make_shared<End>();
    on_loop([&] {
      auto c = callbacks(end);
      c.open = [end](const TlsInfo& info) {
        end->opened = info;
        end->connection->pause_reading();
      };
      end->connection =
          connect(loop_, {"127.0.0.1", port_}, with_tls ? context(client_config()) : nullptr, std::move(c));
      clients_.push_back(end);
    });
    ASSERT_TRUE(wait([&] { return accepted_.size() == (with_tls ? 2U : 1U) && accepted_.back()->opened; }));
    EXPECT_EQ(on_loop([this] { return accepted_.back()->drained; }), 0);
    EXPECT_LT(on_loop([&] { return end->received.size(); }), std::size_t{128 << 10}) << "paused is paused";
    on_loop([&] { end->connection->resume_reading(); });
    ASSERT_TRUE(wait([&] { return end->received.size() == total; })) << with_tls;
    EXPECT_TRUE(wait([this] { return accepted_.back()->drained == 1 && accepted_.back()->connection->can_write(); }));
  }
}

TEST_F(NetTest, SlowAndHalfOpenHandshakesEnd) {
  ListenerOptions options;
  options.connection.handshake_timeout = Millis(100);
  listen(context(server_config()), options);
  const auto silent = dial(nullptr);  // connects, says nothing
  ASSERT_TRUE(wait([this] { return accepted_.size() == 1 && accepted_[0]->closed; }));
  EXPECT_EQ(accepted_[0]->closed->code, ErrorCode::deadline_exceeded);
  EXPECT_TRUE(wait([&] { return silent->closed.has_value(); }));

  const auto slow = dial(nullptr);
  ASSERT_TRUE(wait([&] { return slow->opened.has_value(); }));
  on_loop([&] { slow->connection->write(std::string_view("\x16\x03\x01", 3)); });  // the first bytes of a ClientHello
  ASSERT_TRUE(wait([this] { return accepted_.size() == 2 && accepted_[1]->closed; }));
  EXPECT_EQ(accepted_[1]->closed->code, ErrorCode::deadline_exceeded);
}

TEST_F(NetTest, NonsenseEndsTheHandshakeAtOnce) {
  listen(context(server_config()));
  const auto client = dial(nullptr);
  ASSERT_TRUE(wait([&] { return client->opened.has_value(); }));
  on_loop([&] { client->connection->write("GET / HTTP/1.1\r\n\r\n"); });
  ASSERT_TRUE(wait([this] { return accepted_.size() == 1 && accepted_[0]->closed; }));
  EXPECT_FALSE(accepted_[0]->opened.has_value());
  EXPECT_EQ(accepted_[0]->closed->code, ErrorCode::unavailable);
}

// ---- TLS

TEST_F(NetTest, MutualTlsTellsWhoThePeerIs) {
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

TEST_F(NetTest, AClientThatOffersNoneOfOurProtocolsIsRefused) {
  TlsServerConfig server = server_config();
  server.alpn = {"mqtt"};
  listen(context(server));
  TlsClientConfig config = client_config();
  config.alpn = {"h2"};
  const auto client = dial(context(config));
  EXPECT_TRUE(wait([&] { return client->closed.has_value(); }));
  EXPECT_FALSE(client->opened.has_value());
}

TEST_F(NetTest, OnlyVersions12And13) {
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

TEST_F(NetTest, ClientsWithoutAGoodCertificateNeverOpen) {
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

TEST_F(NetTest, ARevokedClientGetsTheAlertThatSaysSo) {
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

TEST_F(NetTest, ResumedSessionsShowTheCertificateInOpenAlone) {
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

TEST_F(NetTest, WithoutTheSwitchNothingIsResumed) {
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

TEST_F(NetTest, ContextsAreSwappedForNewConnections) {
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

TEST_F(NetTest, OurClientChecksTheServersNameAndAuthority) {
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

TEST_F(NetTest, OurClientSpeaksWithOpensslsServer) {
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

TEST_F(NetTest, BadSettingsAreToldWithoutTheKey) {
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

TEST_F(NetTest, RandomAndMutatedRecordsOnlyEverEndTheSession) {
  std::mt19937 random(7);
  const auto server_context = context(server_config());
  const auto client_context = context(client_config());
  for (int round = 0; round < 300; ++round) {
    TlsSession server(server_context, TlsSession::Role::server);
    TlsSession client(client_context, TlsSession::Role::client);
    EXPECT_TRUE(client.handshake().ok());
    std::string hello;
    client.take_output(hello);
    const int flips = round % 5;
    for (int i = 0; i < flips; ++i) hello[random() % hello.size()] = static_cast<char>(random());
    if (round % 7 == 0)
      for (char& c : hello) c = static_cast<char>(random());
    if (round % 3 == 0) hello.resize(random() % hello.size());
    server.feed(as_bytes(hello));
    const auto done = server.handshake();
    EXPECT_FALSE(done.ok() && *done);
    std::string out;
    server.take_output(out);
    client.feed(as_bytes(out));
    const auto client_done = client.handshake();
    EXPECT_FALSE(client_done.ok() && *client_done && flips > 0 && round % 7 == 0);
  }
}

}  // namespace
}  // namespace fleetward::net
