#include "net/net_fixture.hpp"

namespace fleetward::net {
namespace {

using namespace testing_support;  // the fixture is there for this file

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

}  // namespace
}  // namespace fleetward::net
