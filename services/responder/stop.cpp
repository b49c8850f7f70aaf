// What stops automatic action, looked at for each decision and kept told while it lasts.
#include "services/responder/stop.hpp"

#include <filesystem>
#include <fstream>

#include "core/text.hpp"
#include "log/log.hpp"
#include "repository/governor_repository.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

using fleet::GovernorCondition;
using fleet::GovernorKind;

constexpr Millis say_every{60'000};

bool stops(const GovernorCondition& c) {
  return c.kind == GovernorKind::stop_switch || c.kind == GovernorKind::stop_file;
}

}  // namespace

std::optional<std::string> words_of_stop_file(const std::string& path) {
  if (path.empty()) return std::nullopt;
  std::error_code failed;
  const auto kind = std::filesystem::symlink_status(path, failed).type();
  const bool is_below_a_file = failed == std::errc::not_a_directory;  // the library takes that for not found, too
  if (kind == std::filesystem::file_type::not_found && !is_below_a_file) return std::nullopt;
  if (kind != std::filesystem::file_type::regular)
    return failed ? "it cannot be looked at: " + failed.message() : std::string("it is no plain file");
  std::ifstream file(path);
  std::string line(stop_words_max, '\0');
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(file.gcount()));
  return printable(trim(line.substr(0, line.find('\n'))), stop_words_max);
}

std::shared_ptr<const repository::Policy> Responder::State::policy_now() const {
  if (!words_of_stop_file(config.stop_file)) return policy;
  repository::Policy stopped = *policy;
  stopped.stopped = true;
  return std::make_shared<const repository::Policy>(std::move(stopped));
}

// Metric and log go by the file even when the store cannot be asked.
void Responder::State::say_stopped(const std::vector<GovernorCondition>& conditions, bool file_is_there) {
  const bool stopped = file_is_there || std::any_of(conditions.begin(), conditions.end(), stops);
  stop_switch.set(stopped ? 1 : 0);
  if (!stopped) stop_said = {};
  if (!stopped || !has_passed(stop_said, scheduler.now(), say_every)) return;
  stop_said = scheduler.now();
  for (const GovernorCondition& c : conditions) {
    if (!stops(c)) continue;
    log::warn("enforcement_stopped", {{"by", c.kind == GovernorKind::stop_file ? c.subject : c.actor},
                                      {"since", to_rfc3339(c.since)},
                                      {"why", c.why}});
  }
  if (conditions.empty()) log::warn("enforcement_stopped", {{"by", config.stop_file}});
}

async::Task<void> Responder::State::keep_governor() {
  while (!scope.stopping()) {
    const Instant now = scheduler.now();
    const std::optional<std::string> words = words_of_stop_file(config.stop_file);
    using Conditions = std::vector<GovernorCondition>;
    std::function<Result<Conditions>(store::Transaction&)> work = [this, &words,
                                                                   now](store::Transaction& tx) -> Result<Conditions> {
      const Status noted = repository::note_stop_file(tx, config.instance, config.stop_file, words, now);
      if (!noted) return noted.error();
      if (const Status tended = repository::tend_governor(tx, now); !tended) return tended.error();
      return repository::governor_conditions(tx);
    };
    const Result<Conditions> conditions = co_await store::transact<Conditions>(store, scheduler, work);
    if (!conditions) log::error("governor_failed", {{"error", conditions.error().message}});
    say_stopped(conditions.ok() ? *conditions : Conditions(), words.has_value());
    co_await scope.sleep(config.leases_every);
  }
}

}  // namespace fleetward::responder
