// What the gateway enforces by, on its own disk: the holds and certificates, for the time when the bus cannot be
// reached at start, and so that a block outlives a crash of the gateway before it is reported (design section 5.7).
//
// One file of JSON lines: written whole and put in place by a rename, then appended to; a last line that was cut by a
// crash is ignored. Blocking, short; the gateway's thread. Limit: the file is written anew when what was appended is
// larger than the tables themselves.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "access/tables.hpp"

namespace fleetward::gateway {

class Snapshot {
 public:
  struct Contents {
    std::vector<fleet::AccessRecord> access;
    std::vector<fleet::CertificateRecord> certificates;
    std::vector<fleet::AuthorityRecord> authorities;
    Instant in_step;  // when the gateway last knew that these were the tables
  };
  // not_found: there is none; corrupted: a line that is none of ours.
  static Result<Contents> read(const std::string& folder);

  explicit Snapshot(std::string folder) : folder_(std::move(folder)) {}

  // The whole tables, durably in place of what was there. Makes the folder (0700).
  Status write(const access::HoldTable& holds, const access::CertificateTable& certificates, Instant now);
  // Appended, durable after sync(). Nothing happens before the first write().
  void append(const fleet::AccessRecord& record);
  void append(const fleet::CertificateRecord& record);
  void append(const fleet::AuthorityRecord& record);
  void in_step(Instant now);
  // Good: all that was appended is on the disk. After an error, write() anew.
  Status sync();
  // There is none any more.
  Status discard();
  [[nodiscard]] bool is_open() const { return file_ != nullptr; }
  [[nodiscard]] bool wants_writing() const;

 private:
  struct Close {
    void operator()(std::FILE* f) const { std::fclose(f); }
  };
  void append_line(const json::Value& line);
  Status fail(std::string_view what);

  std::string folder_;
  std::unique_ptr<std::FILE, Close> file_;
  bool dirty_ = false;
  bool failed_ = false;
  std::size_t whole_bytes_ = 0;
  std::size_t appended_bytes_ = 0;
};

}  // namespace fleetward::gateway
