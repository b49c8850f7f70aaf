#include "services/fleetward/command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/table.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string seen;

ExitCode record(Invocation& invocation) {
  seen = std::string(invocation.command().name);
  for (const std::string& argument : invocation.arguments()) seen += "|" + argument;
  if (const auto value = invocation.option("value")) seen += "|value=" + *value;
  if (invocation.has("force")) seen += "|force";
  for (const auto& [key, value] : invocation.settings()) seen += "|" + key + "=" + value;
  if (invocation.wants_json()) seen += "|json";
  return ExitCode::ok;
}

ExitCode record_with_api(Invocation& invocation, ApiClient&) { return record(invocation); }

class NoApi final : public ApiClient {
 public:
  Result<json::Value> call(std::string_view, std::string_view, const std::optional<json::Value>&) override {
    return Error(ErrorCode::unavailable, "no server in this test");
  }
};

Result<std::unique_ptr<ApiClient>> connect_none(const Invocation&) { return std::unique_ptr<ApiClient>(new NoApi); }

ExitCode failing(Invocation& invocation) { return invocation.fail({ErrorCode::unavailable, "nobody\x1b[31m there"}); }

const std::vector<Command> commands{
    {.name = "things list", .summary = "Lists things", .run_with_api = record_with_api},
    {.name = "things show",
     .arguments = "DEVICE",
     .summary = "Shows one",
     .options = {{"value", "V", "a value"}, {"force", "", "a switch"}},
     .arguments_min = 1,
     .arguments_max = 1,
     .run = record},
    {.name = "run",
     .arguments = "ROLE...",
     .summary = "Runs",
     .arguments_max = 8,
     .takes_settings = true,
     .run = record},
    {.name = "break", .summary = "Breaks", .run = failing},
};

struct Outcome {
  ExitCode code;
  std::string out;
  std::string err;
};

Outcome run(const std::vector<std::string>& words) {
  seen.clear();
  std::ostringstream out;
  std::ostringstream err;
  const Environment environment;
  const ExitCode code = run_program(commands, words, environment, connect_none, out, err);
  return {code, out.str(), err.str()};
}

TEST(CommandLine, FindsTheCommandAndItsOptions) {
  EXPECT_EQ(run({"things", "show", "cam-1", "--value", "x", "--force"}).code, ExitCode::ok);
  EXPECT_EQ(seen, "things show|cam-1|value=x|force");
  EXPECT_EQ(run({"things", "list", "-o", "json"}).code, ExitCode::ok);
  EXPECT_EQ(seen, "things list|json");
  EXPECT_EQ(run({"run", "gateway", "--api.port=1", "--x.y", "2"}).code, ExitCode::ok);
  EXPECT_EQ(seen, "run|gateway|api.port=1|x.y=2");
  EXPECT_EQ(run({"things", "show", "--", "--odd-name"}).code, ExitCode::ok);
  EXPECT_EQ(seen, "things show|--odd-name");
}

TEST(CommandLine, WrongCallsAreUsageErrorsThatHelp) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"thngs", "list"}, "did you mean 'things'?"},
      {{"things", "lst"}, "did you mean 'list'?"},
      {{"things"}, "things show DEVICE"},
      {{"things", "show"}, "DEVICE is missing"},
      {{"things", "show", "a", "b"}, "'b' is one argument too many"},
      {{"things", "show", "a", "--vlaue", "x"}, "did you mean 'value'?"},
      {{"things", "show", "a", "--value"}, "--value needs a value"},
      {{"things", "show", "a", "--force=1"}, "--force takes no value"},
      {{"things", "list", "-o", "xml"}, "table or json"},
      {{"run", "--nodot", "x"}, "there is no option '--nodot'"},
      {{}, "usage: fleetward COMMAND"},
  };
  for (const auto& [words, told] : cases) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, ExitCode::usage) << told;
    EXPECT_THAT(outcome.err, HasSubstr(told));
    EXPECT_EQ(seen, "");
  }
}

TEST(CommandLine, HelpGoesToStandardOutput) {
  EXPECT_THAT(run({"--help"}).out, HasSubstr("things show DEVICE"));
  EXPECT_THAT(run({"things", "--help"}).out, HasSubstr("Shows one"));
  EXPECT_THAT(run({"things", "--help"}).out, Not(HasSubstr("Breaks")));
  const Outcome one = run({"things", "list", "--help"});
  EXPECT_EQ(one.code, ExitCode::ok);
  EXPECT_THAT(one.out, HasSubstr("--token-file FILE"));
}

TEST(CommandLine, FailuresAreExitOneAndHarmlessText) {
  const Outcome outcome = run({"break"});
  EXPECT_EQ(outcome.code, ExitCode::failed);
  EXPECT_THAT(outcome.err, HasSubstr("fleetward: nobody\\x1b[31m there"));
}

TEST(CommandLine, TheRealTableIsWhole) {
  for (const Command& command : all_commands()) {
    EXPECT_NE(command.run == nullptr, command.run_with_api == nullptr) << command.name;
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_LE(command.arguments_min, command.arguments_max) << command.name;
  }
}

TEST(TableTest, AlignsAndMakesHostileTextHarmless) {
  Table table({"NAME", "STATE"});
  table.add({"kamera-\xc3\xa4", "held"});
  table.add({"x\x1b]0;", ""});
  EXPECT_EQ(table.to_text("no things"), "NAME      STATE\nkamera-\xc3\xa4  held\nx\\x1b]0;  -\n");
  EXPECT_EQ(Table({"NAME"}).to_text("no things"), "no things\n");
}

}  // namespace
}  // namespace fleetward::program
