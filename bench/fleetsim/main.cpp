// The simulator: options, one loop for all devices, a progress line, and a clean end.
#include <fmt/format.h>
#include <unistd.h>

#include <iostream>

#include "fleet.hpp"
#include "runtime/signals.hpp"

namespace {

using namespace fleetsim;
namespace async = fleetward::async;

constexpr Millis progress_interval{1'000};
constexpr Millis stop_limit{3'000};

fleetward::Status open_file(const std::string& path, std::unique_ptr<std::ofstream>& file) {
  file = std::make_unique<std::ofstream>(path, std::ios::binary | std::ios::trunc);
  if (!*file) return {fleetward::ErrorCode::unavailable, path + ": cannot be written"};
  return {};
}

fleetward::Result<Outputs> open_outputs(const Options& options) {
  Outputs outputs;
  outputs.events = &std::cout;
  if (!options.acked_file.empty()) {
    if (const auto opened = open_file(options.acked_file, outputs.acked); !opened) return opened.error();
  }
  if (!options.events_file.empty()) {
    if (const auto opened = open_file(options.events_file, outputs.events_file); !opened) return opened.error();
    outputs.events = outputs.events_file.get();
  }
  return outputs;
}

void print_progress(const Fleet& fleet, Millis elapsed) {
  const Counters& c = fleet.counters();
  std::cerr << fmt::format("\r{:>5} s  {}/{} connected  {} acknowledged  {} rejected  {} cut  {} refused ",
                           elapsed.count() / 1000, c.connected.load(), fleet.size(), c.acknowledged.load(),
                           c.rejected.load(), c.disconnected.load(), c.refused.load())
            << std::flush;
}

// Until a signal, or the duration is over.
void watch(const Fleet& fleet, const Options& options, fleetward::runtime::Signals& signals) {
  const bool shows = !options.quiet && isatty(STDERR_FILENO) != 0;
  Millis elapsed{0};
  while (options.duration == Millis(0) || elapsed < options.duration) {
    Millis step = progress_interval;
    if (options.duration != Millis(0)) step = std::min(step, options.duration - elapsed);
    if (signals.wait_for(step) >= 0) break;
    elapsed += step;
    if (shows) print_progress(fleet, elapsed);
  }
  if (shows) std::cerr << "\n";
}

void stop(Fleet& fleet, async::LoopThread& loop) {
  async::run_on(loop, [&] { fleet.begin_stop(); });
  const auto deadline = std::chrono::steady_clock::now() + stop_limit;
  bool closed = false;
  while (!closed && std::chrono::steady_clock::now() < deadline) {
    usleep(10'000);
    async::run_on(loop, [&] { closed = fleet.all_closed(); });
  }
  async::run_on(loop, [&] {
    fleet.write_event(fleet.summary());
    fleet.flush();
  });
}

int run(const Options& options) {
  fleetward::runtime::Signals signals;
  auto outputs = open_outputs(options);
  if (!outputs) {
    std::cerr << "fleetsim: " << outputs.error().message << "\n";
    return 1;
  }
  async::LoopThread loop("fleetsim");
  auto fleet = Fleet::load(loop, options, std::move(*outputs));
  if (!fleet) {
    std::cerr << "fleetsim: " << fleet.error().message << "\n";
    return 1;
  }
  async::run_on(loop, [&] { (*fleet)->start(); });
  watch(**fleet, options, signals);
  stop(**fleet, loop);
  // The devices go on the thread that they lived on.
  async::run_on(loop, [&] { fleet->reset(); });
  loop.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  const auto options = parse_options(std::vector<std::string>(argv + 1, argv + argc), environment);
  if (!options) {
    std::cerr << "fleetsim: " << options.error().message << "\nSee `fleetsim --help`.\n";
    return 2;
  }
  if (options->help) {
    std::cout << help_text();
    return 0;
  }
  return run(*options);
}
