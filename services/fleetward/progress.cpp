#include "services/fleetward/progress.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace fleetward::program {
namespace {

constexpr std::size_t bar_width = 30;

}  // namespace

Progress::Progress(std::ostream& out, bool in_place, std::string what, std::size_t total)
    : out_(out), in_place_(in_place), what_(std::move(what)), total_(std::max<std::size_t>(total, 1)) {}

void Progress::set(std::size_t done) {
  if (in_place_) {
    const std::size_t filled = bar_width * std::min(done, total_) / total_;
    out_ << fmt::format("\r  [{}{}] {}/{} {}", std::string(filled, '#'), std::string(bar_width - filled, '.'), done,
                        total_, what_)
         << std::flush;
    drawn_ = true;
    return;
  }
  const std::size_t tenths = 10 * std::min(done, total_) / total_;
  if (tenths == told_tenths_) return;
  told_tenths_ = tenths;
  out_ << fmt::format("  {}/{} {}\n", done, total_, what_) << std::flush;
}

void Progress::finish() {
  if (drawn_) out_ << "\n" << std::flush;
  drawn_ = false;
}

}  // namespace fleetward::program
