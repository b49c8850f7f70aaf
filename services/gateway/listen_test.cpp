// What stands in the way of listening is told by readiness, and overcome when it goes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

class ListeningGatewayTest : public GatewayTest {};
INSTANTIATE_TEST_SUITE_P(Versions, ListeningGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(ListeningGatewayTest, ATakenPortIsNamedUntilItIsFree) {
  std::unique_ptr<net::Listener> other;
  async::run_on(client_loop_, [&] {
    auto opened = net::Listener::open(client_loop_, {"127.0.0.1", 0}, nullptr, [](const auto&) {});
    ASSERT_TRUE(opened.ok());
    other = std::move(*opened);
  });
  config_.port = other->port();
  gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
  ASSERT_TRUE(gateway_->start().ok());
  const std::string at = fmt::format("127.0.0.1:{}", config_.port);
  EXPECT_TRUE(eventually([&] { return gateway_->ready().error().message.find(at) != std::string::npos; }))
      << gateway_->ready().error().message;
  async::run_on(client_loop_, [&] { other.reset(); });
  EXPECT_TRUE(eventually([&] { return gateway_->ready().ok(); }));
  EXPECT_EQ(gateway_->port(), config_.port);
}

}  // namespace
}  // namespace fleetward::gateway
