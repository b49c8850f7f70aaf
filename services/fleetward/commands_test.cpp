// Commands against a scripted API: what they ask for, what they print, how they fail.
#include "services/fleetward/commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/random.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/progress.hpp"

namespace fleetward::program {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

struct Script {
  std::map<std::string, json::Value> answers;  // "GET /v1/things"
  std::vector<std::string> calls;
  std::vector<json::Value> bodies;
};

class ScriptedApi final : public ApiClient {
 public:
  explicit ScriptedApi(Script& script) : script_(script) {}
  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    const std::string call = std::string(method) + " " + std::string(target);
    script_.calls.push_back(call);
    if (body) script_.bodies.push_back(*body);
    const auto found = script_.answers.find(call);
    if (found == script_.answers.end()) return Error(ErrorCode::not_found, "no such thing: " + call);
    return found->second;
  }

 private:
  Script& script_;
};

struct Outcome {
  ExitCode code;
  std::string out;
  std::string err;
};

class Commands : public testing::Test {
 protected:
  Outcome run(const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    const Environment environment;
    const Connect connect = [this](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return std::unique_ptr<ApiClient>(new ScriptedApi(script_));
    };
    const ExitCode code = run_program(all_commands(), words, environment, connect, out, err);
    return {code, out.str(), err.str()};
  }
  Script script_;
};

TEST_F(Commands, ListsFollowPagesAndEscapeHostileText) {
  script_.answers["GET /v1/things?group=a%26b"] = {
      {"things", {{{"name", "cam-1"}, {"connected", true}, {"activeViolations", 2}, {"groups", {"a&b"}}}}},
      {"nextToken", "p/2"}};
  script_.answers["GET /v1/things?group=a%26b&nextToken=p%2F2"] = {
      {"things", {{{"name", "cam-2\x1b[2J"}, {"holds", {{{"level", "isolate"}, {"actionId", "ac7"}}}}}}}};
  const Outcome outcome = run({"things", "list", "--group", "a&b"});
  EXPECT_EQ(outcome.code, ExitCode::ok) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("cam-1"));
  EXPECT_THAT(outcome.out, HasSubstr("isolate (action ac7)"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
  EXPECT_EQ(script_.calls.size(), 2U);

  const Outcome cut = run({"things", "list", "--group", "a&b", "--limit", "1", "-o", "json"});
  EXPECT_EQ(json::parse(cut.out)->size(), 1U);
  EXPECT_THAT(cut.err, HasSubstr("there is more"));
  EXPECT_EQ(run({"things", "list", "--limit", "x"}).code, ExitCode::usage);
}

TEST_F(Commands, ReleaseEndsEachHoldAndNeedsAReason) {
  EXPECT_EQ(run({"things", "release", "cam-1"}).code, ExitCode::usage);
  EXPECT_TRUE(script_.calls.empty());
  script_.answers["GET /v1/things/cam-1"] = {
      {"name", "cam-1"},
      {"holds", {{{"actionId", "a1"}, {"level", "isolate"}}, {{"actionId", "a2"}, {"level", "restrict"}}}}};
  script_.answers["POST /v1/actions/a1/release"] = {{"id", "a1"}};
  script_.answers["POST /v1/actions/a2/release"] = {{"id", "a2"}};
  EXPECT_EQ(run({"things", "release", "cam-1", "--reason", "re-imaged"}).code, ExitCode::ok);
  EXPECT_THAT(script_.calls,
              ElementsAre("GET /v1/things/cam-1", "POST /v1/actions/a1/release", "POST /v1/actions/a2/release"));
  EXPECT_EQ(script_.bodies.back(), json::Value({{"reason", "re-imaged"}}));

  script_.answers["GET /v1/things/cam-2"] = {{"name", "cam-2"}, {"holds", json::Value::array()}};
  const Outcome free = run({"things", "release", "cam-2", "--reason", "x"});
  EXPECT_EQ(free.code, ExitCode::failed);
  EXPECT_THAT(free.err, HasSubstr("cam-2 is not held"));
}

TEST_F(Commands, AnActionShowsItsStepsAndStopwatch) {
  script_.answers["GET /v1/actions/a1"] = {
      {"id", "a1"},
      {"thing", "cam-1"},
      {"state", "in_effect"},
      {"stopwatch", {{"received", 1'000'000}, {"detected", 1'000'004}, {"decided", 1'000'010}, {"enforced", 0}}},
      {"steps", {{{"time", 1'000'010}, {"step", "decided"}, {"actor", "responder"}, {"why", "playbook"}}}}};
  const Outcome outcome = run({"actions", "show", "a1"});
  EXPECT_THAT(outcome.out, HasSubstr("received 1970-01-01T00:16:40.000Z -> detected +4 ms -> decided +6 ms"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("enforced")));
  EXPECT_THAT(outcome.out, HasSubstr("responder"));
}

TEST_F(Commands, WhyTellsExpectedAndSeenAndWhatToDo) {
  script_.answers["GET /v1/things/cam-1"] = {{"name", "cam-1"},
                                             {"holds", {{{"actionId", "a1"}, {"level", "isolate"}}}}};
  script_.answers["GET /v1/violations?thing=cam-1"] = {
      {"violations", {{{"behavior", {{"name", "known-ports"}}}, {"expected", "ports within 22"}, {"seen", "48101"}}}}};
  script_.answers["GET /v1/actions?thing=cam-1"] = {
      {"actions",
       {{{"id", "a1"}, {"level", "isolate"}, {"state", "in_effect"}},
        {{"id", "a2"}, {"level", "revoke"}, {"state", "awaiting_approval"}}}}};
  const Outcome outcome = run({"why", "cam-1"});
  EXPECT_THAT(outcome.out, HasSubstr("cam-1 is held."));
  EXPECT_THAT(outcome.out, HasSubstr("expected ports within 22"));
  EXPECT_THAT(outcome.out, HasSubstr("seen     48101"));
  EXPECT_THAT(outcome.out, HasSubstr("fleetward actions approve a2"));
  EXPECT_THAT(outcome.out, HasSubstr("fleetward actions release a1"));
  EXPECT_EQ(run({"why", "nobody"}).code, ExitCode::failed);
}

TEST_F(Commands, EnrolKeepsKeysHereAndGoesOnWhereItWas) {
  const std::string out = testing::TempDir() + "enrol_" + std::to_string(::getpid());
  std::filesystem::remove_all(out);
  crypto::SeededRandom random(1);
  const auto key = *crypto::PrivateKey::generate();
  const std::string certificate = *pki::make_root(key, "any", instant_from_ms(0), Millis(1'000'000), random);
  for (const char* name : {"c-001", "c-003"}) {
    script_.answers[std::string("POST /v1/things/") + name + "/enrol"] = {{"certificatePem", certificate}};
  }
  const std::vector<std::string> words{"things", "enrol",   "--count", "3",     "--prefix",
                                       "c-",     "--group", "a,b",     "--out", out};
  const Outcome cut_short = run(words);
  EXPECT_EQ(cut_short.code, ExitCode::failed);
  EXPECT_THAT(cut_short.err, HasSubstr("1 of 3 are enrolled; the same command goes on from there. c-002"));
  ASSERT_EQ(script_.bodies.size(), 2U);
  EXPECT_EQ(script_.bodies[0]["groups"], json::Value::array({"a", "b"}));
  EXPECT_THAT(script_.bodies[0]["csr"].get<std::string>(), testing::StartsWith("-----BEGIN CERTIFICATE REQUEST-----"));
  EXPECT_TRUE(pki::read_signing_request(script_.bodies[0]["csr"].get<std::string>()));
  EXPECT_EQ(json::dump(script_.bodies).find("PRIVATE"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(out + "/c-001/key.pem").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_TRUE(std::filesystem::exists(out + "/c-001/cert.pem"));
  EXPECT_FALSE(std::filesystem::exists(out + "/c-002/cert.pem"));
  const std::string first_key = *read_file(out + "/c-002/key.pem");

  script_.answers["POST /v1/things/c-002/enrol"] = {{"certificatePem", certificate}};
  const Outcome whole = run(words);
  EXPECT_EQ(whole.code, ExitCode::ok) << whole.err;
  EXPECT_THAT(whole.out, HasSubstr("enrolled 2 (1 were before)"));
  EXPECT_EQ(*read_file(out + "/c-002/key.pem"), first_key);
  const std::size_t calls = script_.calls.size();
  EXPECT_EQ(run(words).code, ExitCode::ok);
  EXPECT_EQ(script_.calls.size(), calls) << "who is enrolled is left alone";
  std::filesystem::remove_all(out);
}

// A disk that is full.
class FullDisk final : public std::streambuf {
  int overflow(int) override { return traits_type::eof(); }
};

TEST_F(Commands, OutputThatCannotBeWrittenIsAFailure) {
  script_.answers["GET /v1/things"] = {{"things", json::Value::array()}};
  FullDisk full;
  std::ostream out(&full);
  std::ostringstream err;
  const Connect connect = [this](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
    return std::unique_ptr<ApiClient>(new ScriptedApi(script_));
  };
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"things", "list"}, {"version"}, {"help"}, {"config"}, {"run", "--help"}}) {
    out.clear();
    err.str("");
    EXPECT_EQ(run_program(all_commands(), words, {}, connect, out, err), ExitCode::failed) << words[0];
    EXPECT_THAT(err.str(), HasSubstr("the output could not be written")) << words[0];
  }
  std::ofstream device("/dev/full");
  EXPECT_EQ(run_program(all_commands(), {"version"}, {}, connect, device, err), ExitCode::failed);
  EXPECT_THAT(err.str(), HasSubstr("No space left on device"));
}

TEST_F(Commands, EnrolRefusesNamesThatLeaveTheFolder) {
  EXPECT_EQ(run({"things", "enrol", "../etc", "--out", "/tmp"}).code, ExitCode::usage);
  EXPECT_EQ(run({"things", "enrol", "--count", "2", "--out", "/tmp"}).code, ExitCode::usage);
  EXPECT_EQ(run({"things", "enrol", "a"}).code, ExitCode::usage);
  EXPECT_EQ(run({"things", "enrol", "--out", "/tmp"}).code, ExitCode::usage);
  EXPECT_TRUE(script_.calls.empty());
}

class ProfileFiles : public Commands {
 protected:
  std::string file(std::string_view text) {
    paths_.push_back(testing::TempDir() + "profile_" + std::to_string(::getpid()) + "_" +
                     std::to_string(paths_.size()));
    std::ofstream(paths_.back()) << text;
    return paths_.back();
  }
  ~ProfileFiles() override {
    for (const std::string& path : paths_) std::remove(path.c_str());
  }
  std::vector<std::string> paths_;
};

constexpr std::string_view good_profile = R"(
securityProfileName: cams
targets: [group/cams]
behaviors:
  - name: ports
    metric: aws:listening-tcp-ports
    criteria: {comparisonOperator: in-port-set, value: {ports: [22]}}
)";

TEST_F(ProfileFiles, ApplyPutsTheFileAsItIs) {
  script_.answers["PUT /v1/profiles/cams"] = {{"version", 3}};
  const Outcome outcome = run({"profiles", "apply", file(good_profile)});
  EXPECT_EQ(outcome.out, "applied cams (version 3)\n") << outcome.err;
  ASSERT_EQ(script_.bodies.size(), 1U);
  EXPECT_EQ(script_.bodies[0]["targets"], json::Value::array({"group/cams"}));
  EXPECT_EQ(script_.bodies[0]["behaviors"][0]["name"], "ports");
}

TEST_F(ProfileFiles, OneBadFileLeavesEverythingAsItWas) {
  const std::string bad = file("securityProfileName: x\nbehaviours: []\n");
  const std::string senseless = file(R"(
securityProfileName: y
behaviors:
  - name: ports
    metric: aws:listening-tcp-ports
    criteria: {comparisonOperator: less-than, value: {count: 5}}
  - name: other
    metric: aws:no-such-metric
    criteria: {comparisonOperator: less-than, value: {count: 5}}
  - name: load
    metric: cpu
    criteria: {comparisonOperator: less-than, value: {number: 85}}
)");
  const Outcome applied = run({"profiles", "apply", file(good_profile), bad});
  EXPECT_EQ(applied.code, ExitCode::failed);
  EXPECT_TRUE(script_.calls.empty());
  const Outcome validated = run({"profiles", "validate", file(good_profile), bad, senseless, "/nowhere"});
  EXPECT_EQ(validated.code, ExitCode::failed);
  EXPECT_THAT(validated.out, HasSubstr("cams with 1 behaviors is good"));
  EXPECT_THAT(validated.err, HasSubstr("behaviours"));
  EXPECT_THAT(validated.err, HasSubstr("/nowhere"));
  EXPECT_THAT(validated.err, HasSubstr("Behavior ports is malformed"));
  EXPECT_THAT(validated.err, HasSubstr("aws:no-such-metric"));
  EXPECT_THAT(validated.err, Not(HasSubstr("Behavior load")));
}

TEST_F(ProfileFiles, BringTheDimensionsThatTheyNeed) {
  constexpr std::string_view behavior = R"(
behaviors:
  - name: uploads
    metric: aws:num-messages-sent
    metricDimension: {dimensionName: bulk, operator: NOT_IN}
    criteria: {comparisonOperator: less-than, value: {count: 50}, durationSeconds: 300}
)";
  const std::string good =
      file("securityProfileName: cams\ndimensions: {bulk: ['data/${iot:ClientId}/#', more/+]}" + std::string(behavior));
  const std::string elsewhere = file("securityProfileName: cams" + std::string(behavior));
  EXPECT_EQ(run({"profiles", "validate", good, elsewhere}).code, ExitCode::ok) << "the server may have it";
  script_.answers["PUT /v1/dimensions/bulk"] = {{"version", 1}};
  script_.answers["PUT /v1/profiles/cams"] = {{"version", 3}};
  EXPECT_EQ(run({"profiles", "apply", good}).out, "applied cams (version 3)\n");
  ASSERT_EQ(script_.bodies.size(), 2U);
  EXPECT_EQ(script_.bodies[0], (json::Value{{"topicFilters", {"data/${iot:ClientId}/#", "more/+"}}}));
  EXPECT_FALSE(script_.bodies[1].contains("dimensions"));
  const std::string no_filter = file("securityProfileName: x\ndimensions: {bulk: ['a/#/b']}\n");
  const std::string no_list = file("securityProfileName: x\ndimensions: {bulk: {}}\n");
  const std::string no_map = file("securityProfileName: x\ndimensions: [bulk]\n");
  const std::string misplaced = file(R"(
securityProfileName: y
behaviors:
  - name: attempts
    metric: aws:num-connection-attempts
    metricDimension: {dimensionName: bulk}
    criteria: {comparisonOperator: less-than, value: {count: 50}, durationSeconds: 300}
)");
  for (const std::string& bad : {no_filter, no_list, no_map, misplaced})
    EXPECT_EQ(run({"profiles", "validate", bad}).code, ExitCode::failed);
  EXPECT_THAT(run({"profiles", "validate", no_filter}).err, HasSubstr("'a/#/b' is no MQTT topic filter"));
  EXPECT_THAT(run({"profiles", "validate", misplaced}).err, HasSubstr("metricDimension is not allowed"));
}

TEST(ProgressTest, TenthsAsLinesAndABarInPlace) {
  std::ostringstream lines;
  Progress plain(lines, false, "devices", 20);
  for (std::size_t i = 0; i <= 20; ++i) plain.set(i);
  plain.finish();
  const std::string text = lines.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10);
  EXPECT_THAT(text, HasSubstr("20/20 devices\n"));
  std::ostringstream bar;
  Progress drawn(bar, true, "devices", 2);
  drawn.set(1);
  drawn.finish();
  EXPECT_THAT(bar.str(), HasSubstr("\r  [###############...............] 1/2 devices"));
}

}  // namespace
}  // namespace fleetward::program
