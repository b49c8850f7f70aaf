// The gateways' commands against a scripted API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;

class OneGateway final : public ApiClient {
 public:
  explicit OneGateway(std::string& called) : called_(called) {}
  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    called_ = fmt::format("{} {} {}", method, target, body ? json::dump(*body) : "");
    const json::Value gateway = {{"instance", "gw 1"}, {"standing", "silent"}, {"sessions", 3}, {"time", 5}};
    return method == "GET" ? json::Value{{"gateways", {gateway}}} : gateway;
  }

 private:
  std::string& called_;
};

class GatewayCommands : public testing::Test {
 protected:
  ExitCode run(const std::vector<std::string>& words) {
    called_.clear();
    const Connect connect = [this](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return std::unique_ptr<ApiClient>(new OneGateway(called_));
    };
    return run_program(all_commands(), words, {}, connect, out_, err_);
  }
  std::ostringstream out_;
  std::ostringstream err_;
  std::string called_;
};

TEST_F(GatewayCommands, ListSaysHowTheyStand) {
  EXPECT_EQ(run({"gateways", "list"}), ExitCode::ok);
  EXPECT_EQ(called_, "GET /v1/gateways ");
  EXPECT_THAT(out_.str(), HasSubstr("gw 1"));
  EXPECT_THAT(out_.str(), HasSubstr("silent"));
}

TEST_F(GatewayCommands, ForgetNeedsAReason) {
  EXPECT_EQ(run({"gateways", "forget", "gw 1"}), ExitCode::usage);
  EXPECT_EQ(called_, "");
  EXPECT_EQ(run({"gateways", "forget", "gw 1", "--reason", "scrapped"}), ExitCode::ok);
  EXPECT_EQ(called_, R"(POST /v1/gateways/gw%201/gone {"reason":"scrapped"})");
}

}  // namespace
}  // namespace fleetward::program
