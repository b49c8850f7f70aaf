#include "services/fleetward/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "auth/credentials.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;

struct Outcome {
  ExitCode code;
  std::string out;
  std::string err;
};

Outcome run(const std::vector<std::string>& words, const Environment& environment = {}) {
  std::ostringstream out;
  std::ostringstream err;
  const Connect none = [](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
    return Error(ErrorCode::unavailable, "no server in this test");
  };
  const ExitCode code = run_program(all_commands(), words, environment, none, out, err);
  return {code, out.str(), err.str()};
}

TEST(SettingsTest, CheckConfigTellsEveryProblemAndDoesNotRun) {
  EXPECT_EQ(run({"run", "all", "--check-config"}).code, ExitCode::ok);
  const Outcome outcome = run({"run", "all", "--check-config", "--gateway.prot=1", "--fleetward.account=12345678901x"},
                              {{"FLEETWARD_RESPONDER_MODE", "enforced"}});
  EXPECT_EQ(outcome.code, ExitCode::failed);
  EXPECT_THAT(outcome.err, HasSubstr("--gateway.prot: there is no such setting (did you mean 'gateway.port'?)"));
  EXPECT_THAT(outcome.err, HasSubstr("FLEETWARD_RESPONDER_MODE: is 'enforced'"));
  EXPECT_THAT(run({"run", "all", "--check-config", "--fleetward.account=12345678901x"}).err, HasSubstr("12 digits"));
  EXPECT_THAT(run({"run", "all", "--check-config", "--pki.public_url=https://x"}).err, HasSubstr("http://"));
}

TEST(SettingsTest, CheckConfigReadsThePlaybookToo) {
  const std::string path = testing::TempDir() + "playbook_" + std::to_string(::getpid());
  const auto checked = [&](std::string_view text) {
    std::ofstream(path) << text;
    return run({"run", "all", "--check-config", "--responder.playbook=" + path});
  };
  EXPECT_EQ(checked("entries: [{name: a, level: isolate, mode: act}]\n").code, ExitCode::ok);
  const Outcome wrong = checked("entries: [{name: a, levle: isolate}]\n");
  EXPECT_EQ(wrong.code, ExitCode::failed);
  EXPECT_THAT(wrong.err, HasSubstr("levle"));
  std::remove(path.c_str());
  EXPECT_THAT(run({"run", "all", "--check-config", "--responder.playbook=/nowhere"}).err, HasSubstr("/nowhere"));
}

TEST(SettingsTest, UnknownRolesAreUsageErrors) {
  const Outcome outcome = run({"run", "gatway"});
  EXPECT_EQ(outcome.code, ExitCode::usage);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean 'gateway'?"));
}

TEST(SettingsTest, ConfigListsEverySettingWithItsVariable) {
  const Outcome outcome = run({"config"});
  EXPECT_THAT(outcome.out, HasSubstr("FLEETWARD_GATEWAY_PORT"));
  EXPECT_THAT(outcome.out, HasSubstr("FLEETWARD_FLEETWARD_DATA_DIR"));
}

TEST(SettingsTest, PrintConfigShowsWhatIsInForce) {
  const Outcome outcome =
      run({"run", "gateway", "--print-config", "--gateway.port=1883"}, {{"FLEETWARD_API_PORT", "1"}});
  EXPECT_EQ(outcome.code, ExitCode::ok) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("gateway:\n  address: \"0.0.0.0\"\n  port: 1883\n"));
  EXPECT_THAT(outcome.out, HasSubstr("api:\n  address: \"127.0.0.1\"\n  port: 1\n"));
  EXPECT_EQ(run({"run", "all", "--print-config", "--gateway.port=x"}).code, ExitCode::failed);
}

TEST(SettingsTest, TheSchemaThatIsCheckedInIsTheOneOfTheDescriptions) {
  std::ifstream file(FLEETWARD_SOURCE_DIR "/schemas/config/fleetward.schema.json");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), run({"config", "schema"}).out)
      << "fleetward config schema > schemas/config/fleetward.schema.json";
}

TEST(SettingsTest, PagersThatCannotWorkAreToldBeforeTheStart) {
  const auto told = [](const std::string& flag) { return run({"run", "all", "--check-config", flag}).err; };
  EXPECT_THAT(told("--notifier.alertmanagers=https://u:p@pager"), HasSubstr("notifier: alertmanagers"));
  EXPECT_THAT(told("--notifier.alertmanagers=pager"), HasSubstr("notifier: alertmanagers"));
  EXPECT_THAT(told("--notifier.alertmanager_ca_file=/nowhere"), HasSubstr("alertmanager_ca_file: /nowhere"));
  EXPECT_EQ(told("--notifier.alertmanagers=https://pager"), "");
}

TEST(SettingsTest, AWebhookNeedsASecretOfItsOwn) {
  const std::string secret = testing::TempDir() + "webhook_secret_" + std::to_string(::getpid());
  ASSERT_TRUE(write_file(secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", Secrecy::secret));
  const auto checked = [&](const std::string& webhook) {
    return run({"run", "all", "--check-config", "--notifier.webhooks=[" + webhook + "]"}).err;
  };
  EXPECT_EQ(checked(R"({"url":"https://x.test/hook","secret_file":")" + secret + "\"}"), "");
  EXPECT_THAT(checked(R"({"url":"https://x.test/hook"})"), HasSubstr("item 1: secret_file is missing"));
  EXPECT_THAT(checked(R"({"url":"http://x.test/hook","secret_file":")" + secret + "\"}"), HasSubstr("allow_private"));
  EXPECT_EQ(checked(R"({"url":"http://x.test","allow_private":true,"secret_file":")" + secret + "\"}"), "");
  std::filesystem::permissions(secret, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
  EXPECT_THAT(checked(R"({"url":"https://x.test","secret_file":")" + secret + "\"}"), HasSubstr("chmod 600"));
  std::remove(secret.c_str());
}

TEST(FilesTest, WhomToTrustIsTheFileElseTheSystem) {
  EXPECT_THAT(*read_authorities(""), HasSubstr("BEGIN CERTIFICATE")) << "ca-certificates is among what is installed";
  EXPECT_FALSE(read_authorities("/nowhere"));
}

TEST(FilesTest, AFileThatDoesNotFitIsNotThere) {
  const std::string path = testing::TempDir() + "full_" + std::to_string(::getpid());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{16, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const Status written = write_file(path, std::string(100, 'x'), Secrecy::secret);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_DFL);
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("File too large"));
  EXPECT_FALSE(file_exists(path));
}

TEST(InitTest, MakesWhatIsMissingAndKeepsWhatIsThere) {
  const std::string folder = testing::TempDir() + "init_" + std::to_string(::getpid());
  std::filesystem::remove_all(folder);
  const Outcome first = run({"init", "--data-dir", folder});
  ASSERT_EQ(first.code, ExitCode::ok) << first.err;
  const std::string token = *read_file(folder + "/admin-token");
  const std::string key = *read_file(folder + "/admin-aws.json");
  const std::string root = *read_file(folder + "/pki/root.crt");
  EXPECT_GE(token.size(), 32U);
  EXPECT_EQ(first.out.find(token.substr(0, 8)), std::string::npos) << "a secret is never printed";
  EXPECT_TRUE(auth::access_key_from_json(key));
  for (const char* secret : {"/admin-token", "/admin-aws.json", "/pki/root.key", "/pki/issuing.key"}) {
    EXPECT_EQ(std::filesystem::status(folder + secret).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << secret;
  }
  EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
  ASSERT_EQ(run({"init", "--fleetward.data_dir", folder}).code, ExitCode::ok);
  EXPECT_EQ(*read_file(folder + "/admin-token"), token);
  EXPECT_EQ(*read_file(folder + "/admin-aws.json"), key);
  EXPECT_EQ(*read_file(folder + "/pki/root.crt"), root);
  std::filesystem::remove_all(folder);
}

TEST(SettingsTest, ANewInstallationObserves) { EXPECT_EQ(Settings().responder.mode, "observe"); }

TEST(SettingsTest, TheOperatorsVariablesAreNoSettings) {
  EXPECT_EQ(run({"run", "all", "--check-config"}, {{"FLEETWARD_API", "https://x"},
                                                   {"FLEETWARD_TOKEN", "t"},
                                                   {"FLEETWARD_CA_FILE", "f"},
                                                   {"FLEETWARD_START", "s"},
                                                   {"FLEETWARD_FAULT", "x"}})
                .code,
            ExitCode::ok);
}

}  // namespace
}  // namespace fleetward::program
