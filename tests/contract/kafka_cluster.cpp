#include "contract/kafka_cluster.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace fleetward::contract {
namespace {

[[noreturn]] void become(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"/usr/bin/python3", FLEETWARD_SOURCE "/tests/kafka.py", "serve"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  if (const char* const version = std::getenv("FLEETWARD_KAFKA_VERSION")) {
    all.insert(all.end(), {"--version", version});
  }
  std::vector<char*> raw;
  for (std::string& argument : all) raw.push_back(argument.data());
  raw.push_back(nullptr);
  ::execv(raw[0], raw.data());
  ::_exit(127);
}

}  // namespace

KafkaCluster& KafkaCluster::shared() {
  static KafkaCluster cluster({"--user", "fleet:open-sesame"});
  return cluster;
}

KafkaCluster::KafkaCluster(const std::vector<std::string>& arguments) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) std::abort();
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    become(arguments);
  }
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  output_ = out[0];
  about_ = read_line();
}

KafkaCluster::~KafkaCluster() {
  ::close(input_);  // at the end of its input it stops
  int status = 0;
  ::waitpid(process_, &status, 0);
  ::close(output_);
}

std::string KafkaCluster::read_line() {
  std::string line;
  char c = 0;
  while (::read(output_, &c, 1) == 1) {
    if (c == '\n') return line;
    line += c;
  }
  fmt::print(stderr, "Kafka did not start, or ended: see above\n");
  std::abort();
}

std::string KafkaCluster::about(const std::string& what) const {
  const std::string key = "\"" + what + "\": \"";
  const std::size_t start = about_.find(key);
  if (start == std::string::npos) std::abort();
  const std::size_t from = start + key.size();
  return about_.substr(from, about_.find('"', from) - from);
}

void KafkaCluster::tell(const std::string& command) {
  const std::string line = command + "\n";
  if (::write(input_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || read_line() != "ok")
    std::abort();
}

bus::KafkaOptions KafkaCluster::options() const {
  bus::KafkaOptions out;
  out.bootstrap = about("bootstrap");
  out.security = "plain";
  out.replication = 1;
  out.client_id = "contract";
  return out;
}

bus::KafkaOptions KafkaCluster::secure_options() const {
  bus::KafkaOptions out = options();
  out.bootstrap = about("secure_bootstrap");
  out.security = "sasl_tls";
  out.ca_file = about("ca");
  out.user = "fleet";
  out.password = "open-sesame";
  return out;
}

}  // namespace fleetward::contract
