#include "services/fleetward/signers_watch.hpp"

#include <fmt/format.h>

#include "log/log.hpp"

namespace fleetward::program {
namespace {

// What tells two lists apart.
std::string list_of(const access::Signers& signers) {
  std::string out;
  for (const access::Signer& s : signers.all()) {
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", s.role, s.id);
    for (const std::string& topic : s.topics) out += " " + topic;
  }
  return out;
}

}  // namespace

SignersWatch::SignersWatch(std::string data_dir, Apply apply)
    : data_dir_(std::move(data_dir)), apply_(std::move(apply)), file_({signers_path(data_dir_)}) {
  if (data_dir_.empty()) return;
  // What cannot be read is the start's to tell.
  if (const auto signers = read_signers(data_dir_)) in_force_ = list_of(**signers);
}

void SignersWatch::look() {
  if (!data_dir_.empty() && file_.has_changed()) read(false);
}

void SignersWatch::reload() {
  if (!data_dir_.empty()) read(true);
}

void SignersWatch::read(bool asked) {
  file_.mark_read();
  const std::string path = signers_path(data_dir_);
  auto signers = read_signers(data_dir_);
  const bool was_stale = std::exchange(stale_, !signers);
  if (!signers)
    return log::error(
        "signers_refused",
        {{"file", path}, {"error", signers.error().message}, {"in_force", "the list that was read before"}});
  const std::string list = list_of(**signers);
  const bool is_new = list != in_force_;
  if (is_new || asked || was_stale) log::info("signers_reloaded", {{"file", path}, {"signers", list}});
  if (!is_new) return;
  in_force_ = list;
  apply_(std::move(*signers));
}

}  // namespace fleetward::program
