// The doctor at installations that are well, and at each thing that can be wrong with one.
#include "services/fleetward/doctor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "bus/embedded_bus.hpp"
#include "crypto/key.hpp"
#include "fleet/cloud_event.hpp"
#include "http/server.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/process.hpp"
#include "sqlite/sqlite.hpp"

namespace fleetward::program {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

Instant now() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

class DoctorTest : public testing::Test {
 protected:
  DoctorTest() : folder_(testing::TempDir() + "doctor_" + std::to_string(::getpid())) {
    fs::remove_all(folder_);
    std::ostringstream out;
    EXPECT_EQ(run({"init", "--data-dir", folder_}).first, ExitCode::ok);
    settings_.installation.data_dir = folder_;
    settings_.gateway.address = "127.0.0.1";
    settings_.gateway.port = settings_.api.port = settings_.pki.port = settings_.operations.port = 0;
  }
  ~DoctorTest() override { fs::remove_all(folder_); }

  static std::pair<ExitCode, std::string> run(const std::vector<std::string>& words) {
    std::ostringstream out;
    std::ostringstream err;
    const Connect none = [](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return Error(ErrorCode::unavailable, "no server in this test");
    };
    const ExitCode code = run_program(all_commands(), words, {}, none, out, err);
    return {code, out.str() + err.str()};
  }
  // "fail check: found" of all that is not well.
  static std::string ills(const Findings& findings) {
    std::string out;
    for (const Finding& f : findings.all) {
      if (f.health == Health::ok) continue;
      EXPECT_NE(f.advice, "") << f.check;
      out += fmt::format("{} {}: {}\n", to_string(f.health), f.check, f.found);
    }
    return out;
  }
  std::string certificates() {
    Findings findings;
    examine_certificates(settings_, now_, findings);
    return ills(findings);
  }
  std::string storage(bool is_running = false) {
    Findings findings;
    examine_backends(settings_, is_running, now_, findings);
    return ills(findings);
  }
  void make_backends() {
    metrics::Registry metrics;
    const auto store = open_store(settings_, metrics);
    ASSERT_TRUE(store.ok()) << store.error().message;
    const auto bus = open_bus(settings_, metrics);
    ASSERT_TRUE(bus.ok()) << bus.error().message;
  }
  void in_store(std::string_view sql) {
    auto db = sqlite::Database::open(store_path(folder_), sqlite::Database::Mode::read_write_create);
    ASSERT_TRUE(db.ok());
    const Status done = db->execute(sql);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  std::string folder_;
  Settings settings_;
  Instant now_ = now();
};

TEST_F(DoctorTest, WhatSalvageMakesNobodyElseMayRead) {
  make_backends();
  std::ofstream(bus_path(folder_), std::ios::binary) << std::string(8'192, 'x');
  const mode_t before = ::umask(022);
  const auto done = run({"salvage", "--data-dir", folder_});
  ::umask(before);
  ASSERT_EQ(done.first, ExitCode::ok) << done.second;
  EXPECT_THAT(done.second, HasSubstr("The log is damaged"));
  const fs::perms for_others = fs::perms::group_all | fs::perms::others_all;
  for (const fs::directory_entry& made : fs::recursive_directory_iterator(folder_ + "/bus"))
    EXPECT_EQ(made.status().permissions() & for_others, fs::perms::none) << made.path();
}

TEST_F(DoctorTest, AStoppedInstallationThatIsWell) {
  make_backends();
  EXPECT_EQ(certificates(), "");
  EXPECT_EQ(storage(), "");
  Findings findings;
  examine_disk(settings_, findings);
  examine_secrets(settings_, "", findings);
  examine_ports(settings_, false, findings);
  EXPECT_THAT(ills(findings), testing::Not(HasSubstr("fail ")));
  EXPECT_FALSE(server_on(folder_));
  EXPECT_TRUE(fs::directory_iterator(folder_) != fs::directory_iterator());
  for (const auto& entry : fs::directory_iterator(folder_)) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(".doctor")) << "the scratch file is gone";
  }
}

TEST_F(DoctorTest, AuthoritiesOfTheOperatorsOwnAndTheirLists) {
  make_backends();
  const auto put = [this](std::string_view id, Millis not_after, std::string_view source, Millis next_update,
                          std::string_view error, std::string_view status = "ACTIVE") {
    in_store(
        fmt::format("INSERT INTO authorities VALUES('{0}', 'pem', 'CN={0}', 'k', '{1}', 'SNI_ONLY', 0, {2}, 0, 0, "
                    "'{3}', 60000, '01', "
                    "'{4}', 1, 0, {5}, 1, 0, '{6}', 0)",
                    id, status, to_ms(now_ + not_after), source, next_update == Millis(0) ? "" : "digest",
                    to_ms(now_ + next_update), error));
  };
  const Millis day = std::chrono::hours(24), year = 365 * day;
  put("well", year, "a.crl", day, "");
  EXPECT_EQ(storage(), "");
  put("blind", year, "", Millis(0), "");
  put("new", year, "b.crl", Millis(0), "");
  put("stale", year, "c.crl", -day, "");
  put("failing", year, "d.crl", day, "answers 404");
  put("old", -day, "e.crl", day, "");
  put("ending", 10 * day, "f.crl", day, "");
  put("off", -day, "g.crl", -day, "gone", "INACTIVE");
  const std::string found = storage();
  EXPECT_THAT(found, HasSubstr("warn authority CN=blind CRL: none is read"));
  EXPECT_THAT(found, HasSubstr("warn authority CN=new CRL: was not read yet"));
  EXPECT_THAT(found, HasSubstr("fail authority CN=stale CRL: expired at"));
  EXPECT_THAT(found, HasSubstr("fail authority CN=failing CRL: answers 404"));
  EXPECT_THAT(found, HasSubstr("fail authority CN=old: its certificate expired on"));
  EXPECT_THAT(found, HasSubstr("warn authority CN=ending: its certificate expires on"));
  EXPECT_THAT(found, testing::Not(HasSubstr("CN=off")));
}

TEST_F(DoctorTest, ARunningServerIsSeenAndLeftAlone) {
  Process process(settings_);
  ASSERT_TRUE(process.start(roles_for(settings_)));
  EXPECT_EQ(server_on(folder_), ::getpid());
  EXPECT_EQ(storage(true), "");
  EXPECT_TRUE(process.stop());
}

TEST_F(DoctorTest, SecretsThatOthersMayRead) {
  const fs::path key = folder_ + "/pki/issuing.key";
  fs::permissions(key, fs::perms::group_read, fs::perm_options::add);
  fs::remove(folder_ + "/admin-token");
  const std::string config = folder_ + "/fleetward.yaml";
  std::ofstream(config) << "{}\n";
  fs::permissions(config, fs::perms::all);
  Findings findings;
  examine_secrets(settings_, config, findings);
  EXPECT_THAT(ills(findings), HasSubstr("issuing.key: mode 640: others may read it"));
  EXPECT_THAT(ills(findings), HasSubstr("admin-token: No such file"));
  EXPECT_THAT(ills(findings), HasSubstr("fleetward.yaml: mode 777: others may change it"));
}

TEST_F(DoctorTest, CertificatesThatEndSoonOrAreOver) {
  now_ += std::chrono::hours(24 * 80);
  EXPECT_THAT(certificates(), HasSubstr("warn server.crt: until"));
  EXPECT_THAT(certificates(), HasSubstr("fail ocsp.crt: expired on"));
  now_ += std::chrono::hours(24 * 20);
  EXPECT_THAT(certificates(), HasSubstr("fail server.crt: expired on"));
  now_ -= std::chrono::hours(24 * 365);
  EXPECT_THAT(certificates(), HasSubstr("fail root.crt: is not valid yet"));
}

TEST_F(DoctorTest, CertificatesThatDoNotBelongTogether) {
  const std::string other = folder_ + "/other";
  ASSERT_EQ(run({"init", "--data-dir", other}).first, ExitCode::ok);
  fs::copy_file(other + "/pki/issuing.crt", folder_ + "/pki/issuing.crt", fs::copy_options::overwrite_existing);
  EXPECT_THAT(certificates(), HasSubstr("fail chain: not signed by its issuer: issuing.crt server.crt ocsp.crt"));
  EXPECT_THAT(certificates(), HasSubstr("fail keys: missing, or not of their certificate: issuing.key"));
  settings_.gateway.public_host = "iot.example";
  EXPECT_THAT(certificates(), HasSubstr("fail server names: the server's certificate is not for iot.example"));
  fs::remove_all(folder_ + "/pki");
  EXPECT_THAT(certificates(), HasSubstr("fail authority"));
}

TEST_F(DoctorTest, AStoreOfAnotherVersionAndWhatWaitsInIt) {
  make_backends();
  in_store("INSERT INTO migrations VALUES(999, 'of the future', 'x')");
  EXPECT_THAT(storage(), HasSubstr("fail schema: version 999, this program knows"));
  in_store("DELETE FROM migrations WHERE number > 1");
  EXPECT_THAT(storage(), HasSubstr("warn schema: version 1, this program has"));
  const fleet::CloudEvent event{"e", "/test", "t", "cam-1", now_ - std::chrono::minutes(5), json::Value::object()};
  in_store(fmt::format("INSERT INTO outbox(topic, key, value, headers, version) VALUES('t', 'k', '{}', '[]', 1)",
                       fleet::to_json_text(event)));
  EXPECT_THAT(storage(false), HasSubstr("warn outbox: 1 decisions wait"));
  EXPECT_THAT(storage(true), HasSubstr("fail outbox: 1 decisions wait to be published, the oldest for 5 min"));
}

TEST_F(DoctorTest, DamagedAndLostFiles) {
  EXPECT_THAT(storage(), HasSubstr("warn store"));
  make_backends();
  settings_.installation.partitions = 7;
  EXPECT_THAT(storage(), HasSubstr("fail topics: the log has 4 partitions, the settings say 7"));
  {
    std::fstream file(store_path(folder_), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 2);
    file << std::string(4096 * 4, 'x');
  }
  EXPECT_THAT(storage(), HasSubstr("fail store: "));
  std::ofstream(store_path(folder_), std::ios::trunc) << "no database at all, but long enough to be looked at";
  EXPECT_THAT(storage(), HasSubstr("fail store: cannot be read"));
}

TEST_F(DoctorTest, PortsThatAreTakenAndPagersThatAreAway) {
  metrics::Registry metrics;
  async::LoopThread loop("pager");
  std::unique_ptr<http::Server> server;
  std::atomic<int> status{200};
  async::run_on(loop, [&] {
    auto opened = http::Server::open(
        loop, {"127.0.0.1", 0}, nullptr,
        [&status](http::Request) -> async::Task<http::Response> {
          http::Response response = http::text_response(status, "x");
          response.headers.push_back({"Date", "Tue, 24 Nov 2020 11:40:19 GMT"});
          co_return response;
        },
        metrics);
    ASSERT_TRUE(opened.ok());
    server = std::move(*opened);
  });
  settings_.api.address = "127.0.0.1";
  settings_.api.port = server->port();
  settings_.notifier.alertmanagers = {fmt::format("http://127.0.0.1:{}/", server->port())};
  Findings well;
  examine_pagers(settings_, well);
  EXPECT_EQ(ills(well), "");
  status = 503;
  Findings ill;
  examine_ports(settings_, false, ill);
  examine_clock(settings_, ill);
  examine_pagers(settings_, ill);
  EXPECT_THAT(ills(ill), HasSubstr("fail api port: api.port: cannot listen on"));
  EXPECT_THAT(ills(ill), testing::ContainsRegex("fail clock: [0-9]+ s from http://127.0.0.1"));
  EXPECT_THAT(ills(ill), HasSubstr("answers 503"));
  server->stop(Millis(5'000));
  async::run_on(loop, [&] { server.reset(); });
}

TEST_F(DoctorTest, TheCommandSaysWhatToDoAndFails) {
  const std::vector<std::string> free_ports{"--gateway.port=0", "--api.port=0", "--pki.port=0", "--operations.port=0"};
  std::vector<std::string> words{"doctor", "--data-dir", folder_};
  words.insert(words.end(), free_ports.begin(), free_ports.end());
  const auto well = run(words);
  EXPECT_EQ(well.first, ExitCode::ok) << well.second;
  EXPECT_THAT(well.second, HasSubstr("does not run on this data folder"));
  fs::remove(folder_ + "/admin-token");
  words.insert(words.end(), {"-o", "json"});
  const auto ill = run(words);
  EXPECT_EQ(ill.first, ExitCode::failed);
  const auto answer = json::parse(ill.second);
  ASSERT_TRUE(answer.ok()) << ill.second;
  EXPECT_EQ((*answer)["healthy"], false);
  const auto wrong = run({"doctor", "--gateway.prot=1"});
  EXPECT_EQ(wrong.first, ExitCode::failed);
  EXPECT_THAT(wrong.second, HasSubstr("did you mean 'gateway.port'?"));
}

}  // namespace
}  // namespace fleetward::program
