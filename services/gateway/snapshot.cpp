#include "services/gateway/snapshot.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

namespace fleetward::gateway {
namespace {

constexpr std::size_t appended_bytes_free = 1 << 20;  // so much may be appended to a small table
constexpr std::size_t line_bytes_max = 1 << 20;

std::string path_in(const std::string& folder) { return folder + "/tables.jsonl"; }

std::string line_of(const json::Value& value) { return json::dump(value) + "\n"; }

Status apply_line(std::string_view text, Snapshot::Contents& contents) {
  const auto value = json::parse(text, {line_bytes_max, 16});
  if (!value) return value.error();
  json::Reader r(*value, "line");
  if (const json::Value* access = r.member("access")) {
    const auto record = fleet::access_record_from_json(*access);
    if (!record) return record.error();
    contents.access.push_back(*record);
  } else if (const json::Value* certificate = r.member("certificate")) {
    const auto record = fleet::certificate_record_from_json(*certificate);
    if (!record) return record.error();
    contents.certificates.push_back(*record);
  } else if (const json::Value* authority = r.member("authority")) {
    const auto record = fleet::authority_record_from_json(*authority);
    if (!record) return record.error();
    contents.authorities.push_back(*record);
  } else {
    contents.in_step = r.instant_ms("inStep");
    return r.finish();
  }
  return {};
}

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);  // best effort: the rename itself is atomic, only its survival of a power cut hangs on this
  ::close(fd);
}

}  // namespace

Result<Snapshot::Contents> Snapshot::read(const std::string& folder) {
  std::ifstream in(path_in(folder), std::ios::binary);
  if (!in) return Error(ErrorCode::not_found, "there is no snapshot of the tables");
  Contents contents;
  std::string line;
  std::size_t number = 0;
  while (std::getline(in, line)) {
    ++number;
    if (in.eof()) break;  // without its line end: cut by a crash
    const Status applied = apply_line(line, contents);
    if (!applied)
      return Error(ErrorCode::corrupted, fmt::format("snapshot line {}: {}", number, applied.error().message));
  }
  return contents;
}

Status Snapshot::fail(std::string_view what) {
  failed_ = true;
  return Error(ErrorCode::unavailable, fmt::format("snapshot: {}: {}", what, std::strerror(errno)));
}

Status Snapshot::write(const access::HoldTable& holds, const access::CertificateTable& certificates, Instant now) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return Error(ErrorCode::unavailable, "snapshot folder: " + error.message());
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
  const std::string next = path_in(folder_) + ".new";
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail("open");
  std::unique_ptr<std::FILE, Close> file(::fdopen(fd, "w"));
  if (!file) {
    ::close(fd);
    return fail("open");
  }
  std::string text;
  holds.for_each([&](const fleet::AccessRecord& r) { text += line_of({{"access", to_json(r)}}); });
  certificates.for_each([&](const fleet::CertificateRecord& r) { text += line_of({{"certificate", to_json(r)}}); });
  for (const auto& [id, r] : certificates.authorities()) text += line_of({{"authority", to_json(r)}});
  text += line_of({{"inStep", to_ms(now)}});
  if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() || std::fflush(file.get()) != 0 ||
      ::fsync(fd) != 0 || std::rename(next.c_str(), path_in(folder_).c_str()) != 0) {
    return fail("write");
  }
  sync_folder(folder_);
  file_ = std::move(file);
  whole_bytes_ = text.size();
  appended_bytes_ = 0;
  dirty_ = failed_ = false;
  return {};
}

void Snapshot::append_line(const json::Value& value) {
  if (!file_ || failed_) return;
  const std::string line = line_of(value);
  appended_bytes_ += line.size();
  dirty_ = true;
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size()) failed_ = true;  // told by sync()
}

void Snapshot::append(const fleet::AccessRecord& record) { append_line({{"access", to_json(record)}}); }
void Snapshot::append(const fleet::CertificateRecord& record) { append_line({{"certificate", to_json(record)}}); }
void Snapshot::append(const fleet::AuthorityRecord& record) { append_line({{"authority", to_json(record)}}); }
void Snapshot::in_step(Instant now) { append_line({{"inStep", to_ms(now)}}); }

Status Snapshot::sync() {
  if (failed_) return Error(ErrorCode::unavailable, "snapshot: an earlier write failed");
  if (!file_ || !dirty_) return {};
  if (std::fflush(file_.get()) != 0 || ::fdatasync(::fileno(file_.get())) != 0) return fail("write");
  dirty_ = false;
  return {};
}

Status Snapshot::discard() {
  file_.reset();
  if (::unlink(path_in(folder_).c_str()) != 0 && errno != ENOENT) return fail("remove");
  sync_folder(folder_);
  return {};
}

bool Snapshot::wants_writing() const {
  return file_ != nullptr && (failed_ || appended_bytes_ > std::max(whole_bytes_, appended_bytes_free));
}

}  // namespace fleetward::gateway
