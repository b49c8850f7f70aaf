// How many records a bus file has ever taken, noted beside it after each commit: a file that ends before that has lost
// what was acknowledged, which nothing in the file itself can tell.
//
// Not made durable for its own sake: after a loss of power it may be behind, and never ahead. Of a file that was begun
// anew beside it the mark is forgotten, durably, before the first record. The writer's thread.
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
  // What is noted is of a file that was here before: it would make the new one look cut short.
  Status forget_other();
  void add(std::int64_t records);

 private:
  LogMark(int fd, std::int64_t noted) : fd_(fd), noted_(noted) {}
  int fd_;
  std::int64_t noted_;
  std::int64_t records_ = 0;
};

// What the mark at this path says; 0 without one.
std::int64_t read_log_mark(const std::string& path);

// corrupted when a file with so many records is behind what its mark says. A file that is empty says by that what has
// happened to it.
Status check_log_mark(std::int64_t noted, std::int64_t records);

}  // namespace fleetward::bus
