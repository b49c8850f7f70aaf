// A program that a test starts, talks to by lines over its standard input and output, and stops; killed with its owner.
#pragma once

#include <string>
#include <vector>

namespace fleetward::contract {

class ChildProcess {
 public:
  // `setting`: NAME=VALUE for its environment, or empty.
  explicit ChildProcess(std::vector<std::string> arguments, const std::string& setting = {});
  ~ChildProcess();  // ends its input, then kills it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  std::string read_line();  // empty: it has ended
  void write_line(const std::string& line);
  void signal(int number) const;
  [[nodiscard]] bool wait_stopped() const;  // false: it ended instead
  // Ends its input and waits for its end: for a program that cleans up by itself then.
  void finish();

 private:
  int input_ = -1;
  int output_ = -1;
  int process_ = -1;
};

}  // namespace fleetward::contract
