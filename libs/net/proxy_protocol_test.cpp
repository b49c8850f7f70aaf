#include "net/proxy_protocol.hpp"

#include "net/address_range.hpp"
#include "net/net_fixture.hpp"

namespace fleetward::net {
namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);

std::string header(int version_command, int family, const std::string& body) {
  return signature +
         std::string{static_cast<char>(version_command), static_cast<char>(family), static_cast<char>(body.size() >> 8),
                     static_cast<char>(body.size() & 0xFF)} +
         body;
}
const std::string tcp4("\x0a\x01\x02\x03\x7f\x00\x00\x01\x30\x39\x22\xb3", 12);  // 10.1.2.3:12345 to 127.0.0.1:8883
// As HAProxy's send-proxy-v2-ssl-cn adds it.
const std::string ssl_addition(
    "\x20\x00\x16\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x04"
    "dev3",
    25);

std::optional<ProxyHeader> good(const std::string& bytes) {
  const auto read = read_proxy_header(as_bytes(bytes));
  EXPECT_TRUE(read.ok()) << read.error().message;
  return read.ok() ? *read : std::nullopt;
}
bool is_refused(const std::string& bytes) { return !read_proxy_header(as_bytes(bytes)).ok(); }

TEST(ProxyProtocol, TellsWhoIsAtTheOtherEnd) {
  const auto v4 = good(header(0x21, 0x11, tcp4) + "behind");
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->source, (Endpoint{"10.1.2.3", 12345}));
  EXPECT_EQ(v4->bytes, 28U);
  std::string v6_body(36, '\0');
  v6_body[0] = 0x20;
  v6_body[1] = 0x01;
  v6_body[15] = 0x01;
  v6_body[33] = 0x09;
  const auto v6 = good(header(0x21, 0x21, v6_body));
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->source, (Endpoint{"2001::1", 9}));
}

TEST(ProxyProtocol, SkipsAdditionsAndKnowsTheirEnd) {
  const auto with = good(header(0x21, 0x11, tcp4 + ssl_addition + std::string("\x04\x00\x00", 3)));
  ASSERT_TRUE(with);
  EXPECT_EQ(with->bytes, 16 + tcp4.size() + ssl_addition.size() + 3);
  EXPECT_TRUE(is_refused(header(0x21, 0x11, tcp4 + std::string("\x04\x00", 2))));
  EXPECT_TRUE(is_refused(header(0x21, 0x11, tcp4 + std::string("\x04\x00\x09x", 4))));
}

TEST(ProxyProtocol, LocalAndUnknownTransportsAreTheBalancerItself) {
  EXPECT_FALSE(good(header(0x20, 0x00, ""))->source.has_value());
  EXPECT_FALSE(good(header(0x20, 0x11, tcp4))->source.has_value());
  EXPECT_EQ(good(header(0x20, 0x55, "whatever"))->bytes, 24U);
  EXPECT_FALSE(good(header(0x21, 0x00, "whatever"))->source.has_value());
}

TEST(ProxyProtocol, AnyPrefixWaitsForMore) {
  const std::string whole = header(0x21, 0x11, tcp4 + ssl_addition);
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_FALSE(good(whole.substr(0, n)).has_value()) << n;
  EXPECT_TRUE(good(whole).has_value());
}

TEST(ProxyProtocol, EverythingElseIsRefusedAtItsFirstWrongByte) {
  EXPECT_TRUE(is_refused("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")) << "version 1";
  EXPECT_TRUE(is_refused("P"));
  EXPECT_TRUE(is_refused(std::string("\x16\x03\x01\x02", 4))) << "TLS without a header";
  EXPECT_TRUE(is_refused(signature.substr(0, 11) + "X"));
  EXPECT_TRUE(is_refused(signature + "\x11")) << "version 1 in binary";
  EXPECT_TRUE(is_refused(signature + "\x22")) << "an unknown command";
  EXPECT_TRUE(is_refused(header(0x21, 0x12, tcp4))) << "UDP";
  EXPECT_TRUE(is_refused(header(0x21, 0x31, std::string(216, 'u')))) << "a UNIX socket";
  EXPECT_TRUE(is_refused(header(0x21, 0x11, tcp4.substr(1)))) << "too short for its addresses";
  EXPECT_TRUE(is_refused(header(0x21, 0x21, tcp4)));
  EXPECT_TRUE(is_refused(signature + std::string("\x21\x11\xFF\xFF", 4))) << "by its length alone";
}

TEST(AddressRange, HoldsWhatItSays) {
  const auto holds = [](std::string_view network, std::string_view address) {
    return AddressRange::parse(network)->contains(address);
  };
  EXPECT_TRUE(holds("10.0.0.0/8", "10.255.1.2"));
  EXPECT_FALSE(holds("10.0.0.0/8", "11.0.0.1"));
  EXPECT_TRUE(holds("10.0.0.0/8", "::ffff:10.1.1.1"));
  EXPECT_TRUE(holds("192.168.1.128/25", "192.168.1.200"));
  EXPECT_FALSE(holds("192.168.1.128/25", "192.168.1.1"));
  EXPECT_TRUE(holds("127.0.0.1", "127.0.0.1"));
  EXPECT_FALSE(holds("127.0.0.1", "127.0.0.2"));
  EXPECT_TRUE(holds("2001:db8::/33", "2001:db8:7fff::1"));
  EXPECT_FALSE(holds("2001:db8::/33", "2001:db8:8000::1"));
  EXPECT_FALSE(holds("0.0.0.0/0", "2001:db8::1")) << "all of IPv4 is not all";
  EXPECT_TRUE(holds("::/0", "10.0.0.1"));
  EXPECT_FALSE(holds("10.0.0.0/8", "name.test"));
  for (const std::string_view bad :
       {"", "x", "10.0.0.0/33", "10.0.0.1/8", "2001:db8::/129", "10.0.0.0/", "10.0.0.0/8x"})
    EXPECT_FALSE(AddressRange::parse(bad).ok()) << bad;
}

// ---- a listener behind a balancer

class BehindBalancerTest : public testing_support::NetTest {
 protected:
  ListenerOptions options(std::string_view trusted) {
    ListenerOptions o;
    o.proxy_from = {*AddressRange::parse(trusted)};
    o.connection.handshake_timeout = Millis(300);
    return o;
  }
  // Dials in plain and says this first.
  std::shared_ptr<testing_support::End> say(const std::string& bytes) {
    const auto end = dial(nullptr);
    EXPECT_TRUE(wait([&] { return end->opened.has_value(); }));
    on_loop([&] { end->connection->write(bytes); });
    return end;
  }
};

TEST_F(BehindBalancerTest, TheDeviceIsThePeerAndItsBytesComeBehindTheHeader) {
  listen(nullptr, options("127.0.0.0/8"));
  const auto end = say(header(0x21, 0x11, tcp4) + "hello");
  ASSERT_TRUE(wait([&] { return end->received == "hello"; }));
  EXPECT_EQ(newest()->connection->peer(), (Endpoint{"10.1.2.3", 12345}));
}

TEST_F(BehindBalancerTest, AHeaderMayComeInPieces) {
  listen(nullptr, options("127.0.0.0/8"));
  const std::string whole = header(0x21, 0x11, tcp4);
  const auto end = say(whole.substr(0, 5));
  on_loop([] {});
  on_loop([&] { end->connection->write(whole.substr(5) + "hello"); });
  EXPECT_TRUE(wait([&] { return end->received == "hello"; }));
}

TEST_F(BehindBalancerTest, LocalIsTheBalancerItself) {
  listen(nullptr, options("127.0.0.0/8"));
  const auto end = say(header(0x20, 0, "") + "check");
  ASSERT_TRUE(wait([&] { return end->received == "check"; }));
  EXPECT_EQ(newest()->connection->peer().host, "127.0.0.1");
}

TEST_F(BehindBalancerTest, WhatIsNoHeaderIsClosedAndCountedAndNobodyIsTold) {
  listen(nullptr, options("127.0.0.0/8"));
  const auto end = say("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
  EXPECT_TRUE(wait([&] { return end->closed.has_value(); }));
  EXPECT_TRUE(wait([&] { return listener_->bad_proxy_headers() == 1; }));
  EXPECT_TRUE(on_loop([&] { return accepted_.empty(); }));
}

TEST_F(BehindBalancerTest, AHeaderThatDoesNotComeIsWaitedForOnlySoLong) {
  listen(nullptr, options("127.0.0.0/8"));
  const auto end = say(signature.substr(0, 6));
  EXPECT_TRUE(wait([&] { return end->closed.has_value(); }));
  EXPECT_TRUE(wait([&] { return listener_->connections() == 0; }));
}

TEST_F(BehindBalancerTest, FromElsewhereAHeaderIsNoHeader) {
  listen(nullptr, options("10.0.0.0/8"));
  const std::string bytes = header(0x21, 0x11, tcp4) + "hello";
  const auto end = say(bytes);
  ASSERT_TRUE(wait([&] { return end->received == bytes; }));
  EXPECT_EQ(newest()->connection->peer().host, "127.0.0.1");
}

}  // namespace
}  // namespace fleetward::net
