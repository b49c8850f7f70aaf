// The governor's commands against a scripted API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class OneAnswer final : public ApiClient {
 public:
  OneAnswer(json::Value answer, std::string& called) : answer_(std::move(answer)), called_(called) {}
  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    called_ = fmt::format("{} {} {}", method, target, body ? json::dump(*body) : "");
    return answer_;
  }

 private:
  json::Value answer_;
  std::string& called_;
};

class GovernorCommands : public testing::Test {
 protected:
  ExitCode run(const std::vector<std::string>& words, json::Value answer) {
    out_.str("");
    err_.str("");
    called_.clear();
    const Connect connect = [&](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return std::unique_ptr<ApiClient>(new OneAnswer(answer, called_));
    };
    return run_program(all_commands(), words, {}, connect, out_, err_);
  }
  std::ostringstream out_;
  std::ostringstream err_;
  std::string called_;
  const json::Value governor_ = {
      {"stopped", true},
      {"conditions", {{{"kind", "brake"}, {"subject", "cams/ports\x1b[2J"}, {"why", "10 things"}, {"since", 5}}}},
      {"canaries", {{{"rule", "e/cams/ports"}, {"state", "failed"}, {"action", "a1"}}}},
      {"groups", {{{"group", "cams"}, {"size", 9}, {"actedHour", 1}, {"capHour", 2}, {"actedDay", 2}, {"capDay", 2}}}},
      {"log", {{{"step", "raised"}, {"actor", "anna"}, {"condition", {{"kind", "stop_switch"}}}}}}};
};

TEST_F(GovernorCommands, ShowTellsWhatHoldsBack) {
  EXPECT_EQ(run({"governor", "show"}, governor_), ExitCode::ok);
  EXPECT_EQ(called_, "GET /v1/governor ");
  for (const char* text : {"stopped", "cams/ports", "10 things", "failed", "1 of 2", "2 of 2", "anna", "stop_switch"})
    EXPECT_THAT(out_.str(), HasSubstr(text));
  EXPECT_THAT(out_.str(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(run({"governor", "show", "-o", "json"}, governor_), ExitCode::ok);
  EXPECT_EQ(*json::parse(out_.str()), governor_);
  EXPECT_EQ(run({"governor", "show"}, json::Value{{"stopped", false}}), ExitCode::ok);
  EXPECT_THAT(out_.str(), HasSubstr("on"));
}

TEST_F(GovernorCommands, DecisionsNeedAReason) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"governor", "release-brake", "a/b"},
                                             {"governor", "reset-canary", "e/a/b"},
                                             {"governor", "stop"},
                                             {"governor", "resume"}}) {
    EXPECT_EQ(run(words, governor_), ExitCode::usage);
    EXPECT_THAT(called_, IsEmpty());
  }
  EXPECT_EQ(run({"governor", "release-brake", "--reason", "x"}, governor_), ExitCode::usage) << "which one?";
  EXPECT_EQ(run({"governor", "release-brake", "a/b", "--reason", "x"}, governor_), ExitCode::ok);
  EXPECT_EQ(called_, R"(POST /v1/governor/release-brake {"behavior":"a/b","reason":"x"})");
  EXPECT_EQ(run({"governor", "reset-canary", "e/a/b", "--reason", "x"}, governor_), ExitCode::ok);
  EXPECT_EQ(called_, R"(POST /v1/governor/reset-canary {"reason":"x","rule":"e/a/b"})");
}

TEST_F(GovernorCommands, StopAndResume) {
  const json::Value on = {{"on", true}, {"stopped", true}, {"actor", "anna"}, {"reason", "x"}, {"since", 5}};
  EXPECT_EQ(run({"governor", "stop", "--reason", "x"}, on), ExitCode::ok);
  EXPECT_EQ(called_, R"(PUT /v1/stop-switch {"on":true,"reason":"x"})");
  EXPECT_THAT(out_.str(), HasSubstr("anna"));
  EXPECT_EQ(run({"governor", "resume", "--reason", "x"}, {{"on", false}, {"stopped", false}}), ExitCode::ok);
  EXPECT_EQ(called_, R"(PUT /v1/stop-switch {"on":false,"reason":"x"})");
  EXPECT_THAT(err_.str(), IsEmpty());
  EXPECT_EQ(run({"governor", "resume", "--reason", "x"}, {{"on", false}, {"stopped", true}, {"file", "/d/STOP"}}),
            ExitCode::ok);
  EXPECT_THAT(err_.str(), HasSubstr("until the file /d/STOP is removed"));
  EXPECT_EQ(run({"governor", "stop", "--help"}, {}), ExitCode::ok);
  EXPECT_THAT(out_.str(), HasSubstr("responder.stop_file"));
}

}  // namespace
}  // namespace fleetward::program
