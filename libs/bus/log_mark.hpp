// How many records a bus file has ever taken, noted beside it after each commit: a file that ends before that has lost
// what was acknowledged, which nothing in the file itself can tell.
//
// Not made durable for its own sake: after a loss of power it may be behind, and never ahead. The writer's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "core/result.hpp"

namespace fleetward::bus {

class LogMark {
 public:
  // Made when it is not there; 0 when there is nothing in it that can be believed.
  static Result<LogMark> open(const std::string& path);
  LogMark(LogMark&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), noted_(other.noted_), records_(other.records_) {}
  LogMark& operator=(LogMark&&) = delete;
  ~LogMark();

  [[nodiscard]] std::int64_t noted() const { return noted_; }  // as it was found
  // Where the file is now, and how many it has taken since.
  void begin(std::int64_t records) { records_ = records; }
  void add(std::int64_t records);

 private:
  LogMark(int fd, std::int64_t noted) : fd_(fd), noted_(noted) {}
  int fd_;
  std::int64_t noted_;
  std::int64_t records_ = 0;
};

// What the mark beside the bus file says; 0 without one.
std::int64_t read_log_mark(const std::string& path);

}  // namespace fleetward::bus
