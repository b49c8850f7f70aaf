#include "simulation/seeds.hpp"

namespace fleetward::simulation {

SeedRange seeds_or(SeedRange usual) {
  const char* given = std::getenv("FLEETWARD_SEEDS");
  if (given == nullptr) return usual;
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
