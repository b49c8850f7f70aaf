// Files of things, and what importing them asks of a scripted API.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "crypto/random.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/import_file.hpp"

namespace fleetward::program {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string fingerprint(64, 'a');

ImportFile read(const std::string& text, ImportFormat format = ImportFormat::csv) {
  std::istringstream in(text);
  return read_import(in, format, testing::TempDir());
}

std::string problems(const std::string& text, ImportFormat format = ImportFormat::csv) {
  std::string out;
  for (const ImportProblem& p : read(text, format).problems) out += fmt::format("{}: {}\n", p.line, p.text);
  return out;
}

std::string certificate_pem() {
  crypto::SystemRandom random;
  const auto key = *crypto::PrivateKey::generate();
  const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  return *pki::make_root(key, "Test", now, std::chrono::hours(1), random);
}

TEST(ImportFile, CsvWithQuotesListsAndWindowsLineEnds) {
  const std::string pem = certificate_pem();
  const ImportFile file = read(
      "\xEF\xBB\xBFname,Groups,attributes,certificate\r\n"
      "cam-1,\"a;b\",\"firmware=1.2;eq=a=b\",\"" +
      pem +
      "\"\r\n"
      "\r\n"
      "cam-2,,," +
      fingerprint +
      "\n"
      "cam-3,a,,");
  EXPECT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.rows, SizeIs(3));
  EXPECT_THAT(file.rows[0].groups, ElementsAre("a", "b"));
  EXPECT_EQ(file.rows[0].attributes.at("eq"), "a=b");
  EXPECT_EQ(file.rows[0].certificate, pki::read_certificate(pem)->fingerprint);
  EXPECT_EQ(file.rows[1].certificate, fingerprint);
  EXPECT_EQ(file.rows[2].name, "cam-3");
  const auto lines_of_pem = static_cast<std::size_t>(std::count(pem.begin(), pem.end(), '\n'));
  EXPECT_EQ(file.rows[1].line, 2 + lines_of_pem + 2) << "lines of the file, not rows";
}

TEST(ImportFile, JsonLines) {
  const ImportFile file = read(
      "{\"name\":\"cam-1\",\"groups\":[\"a\"],\"type\":\"camera\",\"attributes\":{\"k\":\"v\"}}\n"
      "\n{\"name\":\"cam-2\"}\n",
      ImportFormat::json_lines);
  EXPECT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.rows, SizeIs(2));
  EXPECT_EQ(file.rows[0].type, "camera");
  EXPECT_EQ(file.rows[1].line, 3U);
}

TEST(ImportFile, EveryProblemIsToldByLine) {
  const std::string told = problems(
      "name,attributes,certificate\n"
      "../etc,,\n"
      "cam-1,novalue,\n"
      "cam-2,,\n"
      "cam-2,,\n"
      "cam-3,,/nowhere.pem\n"
      "cam-4,\n");
  for (const char* expected :
       {"2: name '../etc' is not", "3: attribute 'novalue' is not NAME=VALUE", "5: cam-2 is in line 4 already",
        "6: certificate (neither a fingerprint nor PEM)", "7: has 2 fields, the heading 3"}) {
    EXPECT_THAT(told, HasSubstr(expected));
  }
  EXPECT_THAT(problems("nmae\ncam-1\n"), HasSubstr("the heading has 'nmae' (did you mean 'name'?)"));
  EXPECT_THAT(problems("groups\na\n"), HasSubstr("no column 'name'"));
  EXPECT_THAT(problems(""), HasSubstr("empty"));
  EXPECT_THAT(problems("name\n\"open\n"), HasSubstr("2: a quote is not closed"));
  EXPECT_THAT(problems("name\n\"" + std::string(70'000, 'x')), HasSubstr("longer than 65536 bytes"));
  const auto json = [](const char* text) { return problems(text, ImportFormat::json_lines); };
  EXPECT_THAT(json("{\"name\":\"a\",\"gruops\":[]}"), HasSubstr("1: "));
  EXPECT_THAT(json("{\"name\":\"a\"}\n[1]\n"), HasSubstr("2: "));
  EXPECT_THAT(json("{\"name\":\"a\",\"attributes\":{\"k\":1}}"), HasSubstr("attributes"));
}

struct Script {
  std::map<std::string, Result<json::Value>> answers;
  std::vector<std::string> calls;
};

class ScriptedRegistry final : public ApiClient {
 public:
  explicit ScriptedRegistry(Script& script) : script_(script) {}
  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    return answer(fmt::format("{} {}{}", method, target, body ? " " + json::dump(*body) : ""),
                  fmt::format("{} {}", method, target));
  }
  Result<json::Value> call_for(std::string_view method, std::string_view target,
                               const std::string& principal) override {
    return answer(fmt::format("{} {} for {}", method, target, principal), fmt::format("{} {}", method, target));
  }

 private:
  Result<json::Value> answer(std::string whole, const std::string& call) {
    script_.calls.push_back(std::move(whole));
    const auto found = script_.answers.find(call);
    if (found != script_.answers.end()) return found->second;
    if (call.starts_with("GET ")) return Error(ErrorCode::not_found, "no such thing");
    return json::Value::object();
  }
  Script& script_;
};

class ImportCommand : public testing::Test {
 protected:
  ImportCommand() : path_(testing::TempDir() + "import_" + std::to_string(::getpid()) + ".csv") {}
  ~ImportCommand() override { std::filesystem::remove(path_); }
  std::pair<ExitCode, std::string> run(const std::vector<std::string>& words) {
    std::ostringstream out;
    const Connect connect = [this](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return std::unique_ptr<ApiClient>(new ScriptedRegistry(script_));
    };
    const ExitCode code = run_program(all_commands(), words, {}, connect, out, out);
    return {code, out.str()};
  }
  std::pair<ExitCode, std::string> import(std::string_view text, std::vector<std::string> more = {}) {
    std::ofstream(path_) << text;
    std::vector<std::string> words{"things", "import", path_};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  std::string path_;
  Script script_;
};

TEST_F(ImportCommand, MakesWhatIsMissingAndLeavesTheRest) {
  script_.answers.emplace("GET /things/cam-2", json::Value{{"thingName", "cam-2"}, {"thingTypeName", "camera"}});
  script_.answers.emplace("GET /certificates/" + fingerprint,
                          json::Value{{"certificateDescription", {{"certificateArn", "arn:cert"}}}});
  const auto done =
      import("name,groups,type,attributes,certificate\ncam-1,g,camera,k=v," + fingerprint + "\ncam-2,g,camera,,\n");
  EXPECT_EQ(done.first, ExitCode::ok) << done.second;
  EXPECT_THAT(done.second, HasSubstr("imported 1 (1 were there before, 0 failed)"));
  EXPECT_THAT(
      script_.calls,
      ElementsAre("GET /things/cam-1", "GET /certificates/" + fingerprint,
                  R"(POST /things/cam-1 {"attributePayload":{"attributes":{"k":"v"}},"thingTypeName":"camera"})",
                  "POST /thing-groups/g {}",
                  R"(PUT /thing-groups/addThingToThingGroup {"thingGroupName":"g","thingName":"cam-1"})",
                  "PUT /things/cam-1/principals for arn:cert", "GET /things/cam-2",
                  R"(PUT /thing-groups/addThingToThingGroup {"thingGroupName":"g","thingName":"cam-2"})"));
}

TEST_F(ImportCommand, ACertificateThatIsNotKnownIsTakenInBeforeItsThingIsMade) {
  const std::string pem = certificate_pem();
  const std::string id = pki::read_certificate(pem)->fingerprint;
  const std::string path = path_ + ".pem";
  std::ofstream(path) << "its chain comes behind it\n" << pem << certificate_pem();
  script_.answers.emplace("POST /certificate/register", json::Value{{"certificateArn", "arn:taken"}});
  const auto done = import("name,certificate\ncam-1," + path + "\n");
  EXPECT_EQ(done.first, ExitCode::ok) << done.second;
  const json::Value body = {{"certificatePem", pki::pem_of_der(*pki::der_of_pem(pem))}, {"status", "ACTIVE"}};
  EXPECT_THAT(script_.calls, ElementsAre("GET /things/cam-1", "GET /certificates/" + id,
                                         "POST /certificate/register " + json::dump(body), "POST /things/cam-1 {}",
                                         "PUT /things/cam-1/principals for arn:taken"));
  script_.answers.clear();
  script_.answers.emplace("POST /certificate/register",
                          Error(ErrorCode::failed_precondition, "its authority has revoked it"));
  script_.calls.clear();
  const auto refused = import("name,certificate\ncam-1," + path + "\n");
  EXPECT_EQ(refused.first, ExitCode::failed);
  EXPECT_THAT(refused.second, HasSubstr("line 2: certificate: its authority has revoked it"));
  EXPECT_THAT(script_.calls, SizeIs(3)) << "nothing was made";
  std::filesystem::remove(path);
}

TEST_F(ImportCommand, ADryRunLooksWhoseACertificateIs) {
  crypto::SystemRandom random;
  const auto key = *crypto::PrivateKey::generate();
  const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  const std::string ca = *pki::make_root(key, "Theirs", now, std::chrono::hours(1), random);
  pki::LeafRequest leaf;
  leaf.common_name = "cam-1";
  leaf.lifetime = std::chrono::hours(1);
  const std::string pem = *pki::issue({key, ca}, key.public_key(), leaf, now, random);
  const json::Value row = {{"name", "cam-1"}, {"certificate", pem}};
  const auto dry = [&] { return import(json::dump(row) + "\n", {"--dry-run", "--format", "jsonl"}); };
  script_.answers.emplace("GET /v1/authorities", json::Value{{"authorities", json::Value::array()}});
  EXPECT_THAT(dry().second, HasSubstr("line 1: certificate: no registered authority has issued it"));
  script_.answers.clear();
  script_.answers.emplace("GET /v1/authorities",
                          json::Value{{"authorities", json::Value::array({{{"certificatePem", ca}}})}});
  const auto done = dry();
  EXPECT_EQ(done.first, ExitCode::ok) << done.second;
  EXPECT_THAT(script_.calls, testing::Each(testing::StartsWith("GET ")));
}

TEST_F(ImportCommand, AnAuthorityIsTrustedOnlyOnceItsListIsKnown) {
  const std::string pem = certificate_pem();
  const std::string id = pki::read_certificate(pem)->fingerprint;
  std::ofstream(path_) << pem;
  script_.answers.emplace("GET /v1/authorities/" + id, json::Value{{"id", id}, {"status", "ACTIVE"}});
  const auto done = run({"authorities", "register", path_, "--crl", "acme.crl", "--every", "2m"});
  EXPECT_EQ(done.first, ExitCode::ok) << done.second;
  const json::Value body = {{"caCertificate", pem}, {"certificateMode", "SNI_ONLY"}};
  EXPECT_THAT(script_.calls,
              ElementsAre("POST /cacertificate " + json::dump(body),
                          "PUT /v1/authorities/" + id + R"(/crl {"everySeconds":120,"source":"acme.crl"})",
                          "PUT /cacertificate/" + id + "?newStatus=ACTIVE", "GET /v1/authorities/" + id));
  // Where it is there already, the rest is done all the same; where its list is refused, it is not trusted.
  script_.answers.emplace("POST /cacertificate", Error(ErrorCode::conflict, "registered already"));
  EXPECT_EQ(run({"authorities", "register", path_}).first, ExitCode::ok);
  script_.answers.emplace("PUT /v1/authorities/" + id + "/crl", Error(ErrorCode::invalid_argument, "no place"));
  script_.calls.clear();
  EXPECT_EQ(run({"authorities", "register", path_, "--crl", "../x"}).first, ExitCode::failed);
  EXPECT_THAT(script_.calls, SizeIs(2));
  for (const char* every : {"0", "8d", "1w", "m", "-1s", "9999999999h"})
    EXPECT_EQ(run({"authorities", "register", path_, "--every", every}).first, ExitCode::usage) << every;
  EXPECT_EQ(run({"authorities", "crl", id}).first, ExitCode::usage);
  EXPECT_EQ(run({"authorities", "crl", id, "x", "--none"}).first, ExitCode::usage);
}

TEST_F(ImportCommand, ADryRunOnlyAsks) {
  const auto done = import("name,groups\ncam-1,g\n", {"--dry-run", "-o", "json"});
  EXPECT_THAT(done.second, HasSubstr(R"({"already":0,"dryRun":true,"failed":0,"imported":1})"));
  EXPECT_THAT(script_.calls, ElementsAre("GET /things/cam-1"));
}

TEST_F(ImportCommand, RowsThatCannotBeTakenAreToldByLineAndTheRestGoesOn) {
  script_.answers.emplace("GET /things/cam-1", json::Value{{"thingName", "cam-1"}, {"thingTypeName", "lamp"}});
  const auto done = import("name,certificate\ncam-1,\ncam-2," + fingerprint + "\ncam-3,\n");
  EXPECT_EQ(done.first, ExitCode::failed);
  EXPECT_THAT(done.second, HasSubstr("line 2: cam-1 is there with another type"));
  EXPECT_THAT(done.second, HasSubstr("line 3: certificate aaaaaaaaaaaa"));
  EXPECT_THAT(done.second, HasSubstr("imported 1 (0 were there before, 2 failed)"));
}

TEST_F(ImportCommand, AServerThatGoesAwayStopsItWhereItIs) {
  script_.answers.emplace("GET /things/cam-2", Error(ErrorCode::unavailable, "cannot reach it"));
  const auto done = import("name\ncam-1\ncam-2\ncam-3\n");
  EXPECT_EQ(done.first, ExitCode::failed);
  EXPECT_THAT(done.second, HasSubstr("stopped at line 3"));
  EXPECT_THAT(done.second, HasSubstr("--from-line 3"));
  script_ = {};
  EXPECT_EQ(import("name\ncam-1\ncam-2\ncam-3\n", {"--from-line", "3"}).first, ExitCode::ok);
  EXPECT_THAT(script_.calls[0], "GET /things/cam-2");
}

TEST_F(ImportCommand, AWrongFileChangesNothing) {
  const auto done = import("name\ncam-1\n../x\n");
  EXPECT_EQ(done.first, ExitCode::failed);
  EXPECT_THAT(done.second, HasSubstr("line 3: "));
  EXPECT_THAT(done.second, HasSubstr("nothing was imported"));
  EXPECT_THAT(script_.calls, IsEmpty());
  EXPECT_EQ(run({"things", "import", "/nowhere.csv"}).first, ExitCode::failed);
  EXPECT_EQ(run({"things", "import", "fleet.xlsx"}).first, ExitCode::usage);
}

TEST_F(ImportCommand, DeletingTakesCertificatesAwayFirst) {
  script_.answers.emplace("GET /things/cam-1/principals", json::Value{{"principals", {"arn:1", "arn:2"}}});
  EXPECT_EQ(run({"things", "delete", "cam-1"}).first, ExitCode::ok);
  EXPECT_THAT(script_.calls, ElementsAre("GET /things/cam-1/principals", "DELETE /things/cam-1/principals for arn:1",
                                         "DELETE /things/cam-1/principals for arn:2", "DELETE /things/cam-1"));
  script_.answers.emplace("DELETE /things/cam-1/principals", Error(ErrorCode::conflict, "is held by action a1"));
  const auto held = run({"things", "delete", "cam-1"});
  EXPECT_EQ(held.first, ExitCode::failed);
  EXPECT_THAT(held.second, HasSubstr("held by action a1"));
}

}  // namespace
}  // namespace fleetward::program
