// What the tests of net share: certificates made by openssl, a loop, both ends of connections and what they saw.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "net/connection.hpp"

namespace fleetward::net::testing_support {

namespace fs = std::filesystem;

inline constexpr std::chrono::seconds patience{20};

// The shell's answer: output and errors.
inline std::string run(const std::string& command) {
  FILE* pipe = ::popen(("timeout 20 " + command + " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

inline std::string read_file(const fs::path& path) {
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

}  // namespace fleetward::net::testing_support
