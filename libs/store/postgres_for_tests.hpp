// A PostgreSQL server of a test program's own, by tests/postgres.py: started when it is first asked for, ended with the
// program, however that ends. Every test has a database of its own. Not thread-safe.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "json/json.hpp"
#include "store/postgres_store.hpp"

namespace fleetward::store::testing_support {

class PostgresServer {
 public:
  static PostgresServer& shared() {
    static PostgresServer server;
    return server;
  }

  PostgresServer() {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) std::abort();
    const std::string script = in_repository("tests/postgres.py");
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(to[0], 0);
      ::dup2(from[1], 1);
      ::execl("/usr/bin/python3", "python3", script.c_str(), "serve", nullptr);
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    in_ = ::fdopen(from[0], "r");
    out_ = to[1];
    const json::Value said = answer();
    options_.host = said.at("host").get<std::string>();
    options_.port = said.at("port").get<std::int64_t>();
    options_.user = said.at("user").get<std::string>();
    options_.password = said.at("password").get<std::string>();
    options_.ca_file = said.at("ca").get<std::string>();
  }

  ~PostgresServer() {
    ::close(out_);
    ::waitpid(child_, nullptr, 0);
    std::fclose(in_);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // Of a new database: empty, or with what is in `like`, to which nobody is connected.
  PostgresOptions new_database(const std::string& like = "template0") {
    PostgresOptions options = options_;
    options.database = command("database " + like).at("database").get<std::string>();
    return options;
  }

  // "stop", "start", "kill", "freeze" or "thaw".
  json::Value command(const std::string& line) {
    const std::string text = line + "\n";
    if (::write(out_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    return answer();
  }

  // As its superuser; the rows as text.
  std::string sql(const PostgresOptions& of, const std::string& statement) {
    return command("sql " + of.database + " " + statement).at("rows").get<std::string>();
  }
  // A file of the repository, by its path there.
  void run_file(const PostgresOptions& of, const std::string& path) {
    command("file " + of.database + " " + in_repository(path));
  }

 private:
  static std::string in_repository(const std::string& path) {
    return (std::filesystem::path(__FILE__).parent_path() / "../.." / path).lexically_normal();
  }

  json::Value answer() {
    std::array<char, 65536> line{};
    if (std::fgets(line.data(), line.size(), in_) == nullptr) {
      ADD_FAILURE() << "tests/postgres.py has ended";
      std::abort();
    }
    auto said = json::parse(line.data());
    if (!said || said->contains("error")) {
      ADD_FAILURE() << line.data();
      std::abort();
    }
    return *said;
  }

  PostgresOptions options_;
  pid_t child_ = -1;
  std::FILE* in_ = nullptr;
  int out_ = -1;
};

}  // namespace fleetward::store::testing_support
