#include "simulation/seeds.hpp"

namespace fleetward::simulation {

// Under a sanitizer each run takes several times as long, and finds other things.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr std::uint64_t slower = 8;
#else
constexpr std::uint64_t slower = 1;
#endif
#else
constexpr std::uint64_t slower = 1;
#endif

SeedRange seeds_or(SeedRange usual) {
  const char* given = std::getenv("FLEETWARD_SEEDS");
  if (given == nullptr) return {usual.from, usual.from + (usual.to - usual.from) / slower};
  const std::string text = given;
  const auto dash = text.find('-');
  const std::uint64_t from = std::strtoull(text.c_str(), nullptr, 10);
  return {from, dash == std::string::npos ? from : std::strtoull(text.c_str() + dash + 1, nullptr, 10)};
}

LogsInto::LogsInto(Universe& universe) {
  log::configure(log::Level::info, log::Format::text);
  log::set_sink([&universe](const std::string& line) { universe.note("  " + line); });
}
LogsInto::~LogsInto() { log::set_sink({}); }

}  // namespace fleetward::simulation
