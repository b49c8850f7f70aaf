// Which table records the gateway has found well signed before, on its own disk: at the next start they are not judged
// anew, which costs some 60 microseconds each.
//
// A file of marks (access::RecordMark), 16 bytes each, beside the snapshot. A mark says all that was judged, so one
// that the disk has spoilt fits nothing, and a lost file costs time alone. Whether the record's key may still sign is
// asked anyway. Blocking, short; the gateway's thread. Limit: marks_max, beyond which nothing more is noted.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "access/record_signature.hpp"

namespace fleetward::gateway {

class KnownRecords {
 public:
  static constexpr std::size_t marks_max = 4'000'000;

  // Empty: nothing is kept on disk.
  explicit KnownRecords(std::string folder) : folder_(std::move(folder)) {}

  // What was known at the last start and since. For as long as the tables are being read.
  void load();
  // nullptr once they have been read.
  [[nodiscard]] const access::RecordMarks* marks() const { return reading_ ? &marks_ : nullptr; }
  // This one is good.
  void add(const access::RecordMark& mark);
  // The tables have been read: the file holds just what is in them from now on, and what add() appends.
  Status finish();

 private:
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };

  std::string folder_;
  bool reading_ = true;
  access::RecordMarks marks_;               // of before
  std::vector<access::RecordMark> added_;   // while the tables are being read
  std::size_t count_ = 0;                   // in the file
  std::unique_ptr<std::FILE, Close> file_;  // to append to
};

}  // namespace fleetward::gateway
