#include "contract/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace fleetward::contract {

ChildProcess::ChildProcess(std::vector<std::string> arguments, const std::string& setting) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) std::abort();
  std::vector<char*> raw;
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  std::string in_environment = setting;
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(in[0], STDIN_FILENO);
    ::dup2(out[1], STDOUT_FILENO);
    if (!in_environment.empty()) ::putenv(in_environment.data());
    ::execv(raw[0], raw.data());
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  input_ = in[1];
  output_ = out[0];
}

ChildProcess::~ChildProcess() {
  if (process_ < 0) return;
  signal(SIGKILL);
  finish();
}

void ChildProcess::finish() {
  ::close(input_);
  int status = 0;
  ::waitpid(process_, &status, 0);
  ::close(output_);
  process_ = -1;
}

std::string ChildProcess::read_line() {
  std::string line;
  char c = 0;
  while (::read(output_, &c, 1) == 1) {
    if (c == '\n') return line;
    line += c;
  }
  return {};
}

void ChildProcess::write_line(const std::string& line) {
  const std::string text = line + "\n";
  if (::write(input_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
}

void ChildProcess::signal(int number) const { ::kill(process_, number); }

bool ChildProcess::wait_stopped() const {
  int status = 0;
  return ::waitpid(process_, &status, WUNTRACED) == process_ && WIFSTOPPED(status);
}

}  // namespace fleetward::contract
