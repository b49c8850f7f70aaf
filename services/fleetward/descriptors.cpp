#include "services/fleetward/descriptors.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

namespace fleetward::program {
namespace {

constexpr rlim_t descriptors_max = 1'048'576;

}  // namespace

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t wanted = std::min(limit.rlim_max, descriptors_max);
  if (limit.rlim_cur < wanted) {
    const rlimit raised{wanted, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

void show_descriptors(metrics::Registry& metrics) {
  rlimit limit{};
  std::error_code failed;
  std::ptrdiff_t open = 0;
  for (std::filesystem::directory_iterator fd("/proc/self/fd", failed), end; !failed && fd != end; fd.increment(failed))
    ++open;
  if (failed || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;  // out of them: what was shown before stays
  metrics.gauge("process_open_fds", "File descriptors that are open.").set(static_cast<double>(open - 1));
  metrics.gauge("process_max_fds", "File descriptors that may be open.").set(static_cast<double>(limit.rlim_cur));
}

}  // namespace fleetward::program
