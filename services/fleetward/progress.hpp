// A progress bar for long commands: drawn in place on a terminal, a line every tenth elsewhere.
#pragma once

#include <ostream>
#include <string>

namespace fleetward::program {

class Progress {
 public:
  // `in_place`: the stream is a terminal. `what` says what is counted: "devices enrolled".
  Progress(std::ostream& out, bool in_place, std::string what, std::size_t total);
  void set(std::size_t done);
  // Ends the line of a bar that was drawn in place.
  void finish();

 private:
  std::ostream& out_;
  bool in_place_;
  std::string what_;
  std::size_t total_;
  std::size_t told_tenths_ = 0;
  bool drawn_ = false;
};

}  // namespace fleetward::program
