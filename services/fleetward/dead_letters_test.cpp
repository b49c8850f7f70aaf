// The commands of dead letters against a scripted API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Two letters: "1" is taken at the second look, "2" fails for its payload.
class TwoLetters final : public ApiClient {
 public:
  explicit TwoLetters(std::vector<std::string>& called) : called_(called) {}
  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    called_.push_back(fmt::format("{} {}{}", method, target, body ? " " + json::dump(*body) : ""));
    if (target.find("dead-letters/1") != std::string_view::npos)
      return letter("1", method == "GET" ? "taken" : "waiting");
    if (target.find("dead-letters/2") != std::string_view::npos) return letter("2", "bad-payload");
    if (target.find("dead-letters/") != std::string_view::npos) return Error(ErrorCode::not_found, "no such letter");
    return json::Value{{"deadLetters", {letter("3", "taken"), letter("2", "none"), letter("1", "none")}}};
  }

 private:
  static json::Value letter(const std::string& id, const std::string& replay) {
    return {{"id", id},         {"source", "kafka/plant"}, {"reason", "bad-payload"}, {"why", "no JSON"},
            {"replay", replay}, {"replayWhy", "no JSON"},  {"payloadBase64", "ewE="}, {"received", 5}};
  }
  std::vector<std::string>& called_;
};

class DeadLetterCommands : public testing::Test {
 protected:
  ExitCode run(const std::vector<std::string>& words) {
    called_.clear();
    const Connect connect = [this](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return std::unique_ptr<ApiClient>(new TwoLetters(called_));
    };
    return run_program(all_commands(), words, {}, connect, out_, err_);
  }
  std::ostringstream out_;
  std::ostringstream err_;
  std::vector<std::string> called_;
};

TEST_F(DeadLetterCommands, ListTakesFilters) {
  EXPECT_EQ(run({"dead-letters", "list", "--source", "kafka/plant"}), ExitCode::ok);
  ASSERT_EQ(called_.size(), 1U);
  EXPECT_THAT(called_[0], HasSubstr("GET /v1/dead-letters?source=kafka%2Fplant"));
  EXPECT_THAT(out_.str(), HasSubstr("no JSON"));
}

TEST_F(DeadLetterCommands, ShowMakesThePayloadPrintable) {
  EXPECT_EQ(run({"dead-letters", "show", "1"}), ExitCode::ok);
  EXPECT_THAT(out_.str(), HasSubstr("{\\x01"));
}

TEST_F(DeadLetterCommands, ReplayNeedsAReasonAndLetters) {
  EXPECT_EQ(run({"dead-letters", "replay", "1"}), ExitCode::usage);
  EXPECT_EQ(run({"dead-letters", "replay", "--why", "x"}), ExitCode::usage);
  EXPECT_EQ(run({"dead-letters", "replay", "1", "--all", "--why", "x"}), ExitCode::usage);
  EXPECT_TRUE(called_.empty());
}

TEST_F(DeadLetterCommands, ReplayWaitsAndCounts) {
  EXPECT_EQ(run({"dead-letters", "replay", "1", "--why", "mended"}), ExitCode::ok);
  EXPECT_THAT(called_, ElementsAre(R"(POST /v1/dead-letters/1/replay {"reason":"mended"})", "GET /v1/dead-letters/1"));
  EXPECT_EQ(out_.str(), "1 of 1 taken\n");
}

TEST_F(DeadLetterCommands, ReplayOfAllIsOfTheOldestFirstAndOfNoneThatWasTaken) {
  EXPECT_EQ(run({"dead-letters", "replay", "--all", "--why", "mended"}), ExitCode::failed);
  ASSERT_EQ(called_.size(), 4U);
  EXPECT_THAT(called_[1], HasSubstr("POST /v1/dead-letters/1/replay"));
  EXPECT_THAT(called_[3], HasSubstr("POST /v1/dead-letters/2/replay"));
  EXPECT_EQ(out_.str(), "1 of 2 taken\n");
  EXPECT_THAT(err_.str(), HasSubstr("2: bad-payload: no JSON"));
}

TEST_F(DeadLetterCommands, OneThatIsGoneIsSaid) {
  EXPECT_EQ(run({"dead-letters", "replay", "9", "--why", "mended"}), ExitCode::failed);
  EXPECT_THAT(err_.str(), HasSubstr("9: no such letter"));
}

}  // namespace
}  // namespace fleetward::program
