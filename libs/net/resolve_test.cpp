#include "net/resolve.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

namespace fleetward::net {
namespace {

using Answer = Result<std::vector<std::string>>;

async::Task<void> ask(async::Scheduler& loop, std::string host, std::promise<Answer>& out) {
  Answer answer = co_await resolve(loop, std::move(host), Millis(5'000));
  out.set_value(std::move(answer));
}

Answer resolved(const std::string& host) {
  async::LoopThread loop("resolve");
  async::Scope scope(loop, "test");
  std::promise<Answer> out;
  auto future = out.get_future();
  scope.spawn("ask", ask(loop, host, out));
  Answer answer = future.get();
  EXPECT_TRUE(scope.join(Millis(5'000)));
  return answer;
}

TEST(Resolve, NamesAndAddresses) {
  EXPECT_EQ(*resolved("192.0.2.7"), std::vector<std::string>{"192.0.2.7"});
  EXPECT_EQ(*resolved("2001:db8::1"), std::vector<std::string>{"2001:db8::1"});
  const Answer local = resolved("localhost");
  ASSERT_TRUE(local.ok()) << local.error().message;
  EXPECT_THAT(*local, testing::AnyOf(testing::Contains("127.0.0.1"), testing::Contains("::1")));
  EXPECT_FALSE(resolved("no-such-name.invalid").ok());
}

TEST(PublicAddress, WhatIsNotOfThePublicInternetIsNot) {
  for (const char* address : {"0.0.0.0",
                              "10.1.2.3",
                              "100.64.0.1",
                              "127.0.0.1",
                              "127.255.0.9",
                              "169.254.169.254",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.0.0.1",
                              "192.168.1.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "198.51.100.1",
                              "203.0.113.9",
                              "224.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "fe80::1",
                              "fc00::1",
                              "fd12::1",
                              "ff02::1",
                              "::ffff:10.0.0.1",
                              "::ffff:127.0.0.1",
                              "64:ff9b::a00:1",
                              "2001::1",
                              "2001:db8::1",
                              "2002:a00:1::",
                              "3fff::1",
                              "",
                              "localhost",
                              "127.1"}) {
    EXPECT_FALSE(is_public_address(address)) << address;
  }
  for (const char* address : {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
                              "172.32.0.0", "192.169.0.0", "198.20.0.0", "223.255.255.255", "::ffff:1.1.1.1",
                              "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"}) {
    EXPECT_TRUE(is_public_address(address)) << address;
  }
}

}  // namespace
}  // namespace fleetward::net
