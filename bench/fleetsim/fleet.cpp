#include "fleet.hpp"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "device.hpp"

namespace fleetsim {

using fleetward::Error;
using fleetward::ErrorCode;
using fleetward::Result;
using fleetward::json::Value;
namespace fs = std::filesystem;

namespace {

constexpr Millis flush_interval{200};

Result<std::vector<Identity>> find_devices(const Options& options) {
  std::error_code problem;
  std::vector<Identity> found;
  for (fs::directory_iterator entry(options.devices_dir, problem), end; !problem && entry != end;
       entry.increment(problem)) {
    const fs::path certificate = entry->path() / "cert.pem";
    const fs::path key = entry->path() / "key.pem";
    if (fs::exists(certificate) && fs::exists(key)) {
      found.push_back({entry->path().filename().string(), certificate.string(), key.string()});
    }
  }
  if (problem) return Error(ErrorCode::not_found, options.devices_dir + ": " + problem.message());
  if (found.empty()) {
    return Error(ErrorCode::not_found, options.devices_dir + ": holds no device (a folder with cert.pem and key.pem)");
  }
  std::sort(found.begin(), found.end(), [](const Identity& a, const Identity& b) { return a.thing < b.thing; });
  if (options.count != 0 && found.size() > options.count) found.resize(options.count);
  return found;
}

}  // namespace

Fleet::Fleet(fleetward::async::Scheduler& scheduler, const Options& options, Outputs outputs)
    : scheduler_(scheduler), options_(options), outputs_(std::move(outputs)) {}

Fleet::~Fleet() = default;

Result<std::unique_ptr<Fleet>> Fleet::load(fleetward::async::Scheduler& scheduler, const Options& options,
                                           Outputs outputs) {
  Result<std::vector<Identity>> identities = find_devices(options);
  if (!identities) return identities.error();
  for (const std::string& attacked : options.attacked) {
    const bool there = std::any_of(identities->begin(), identities->end(),
                                   [&](const Identity& identity) { return identity.thing == attacked; });
    if (!there)
      return Error(ErrorCode::not_found, "--attack: there is no device '" + fleetward::printable(attacked) + "'");
  }
  std::ifstream ca(options.ca_file, std::ios::binary);
  std::ostringstream ca_pem;
  ca_pem << ca.rdbuf();
  if (!ca) return Error(ErrorCode::not_found, options.ca_file + ": cannot be read");

  std::unique_ptr<Fleet> fleet(new Fleet(scheduler, options, std::move(outputs)));
  fleet->ca_pem_ = ca_pem.str();
  for (std::size_t i = 0; i < identities->size(); ++i) {
    fleet->devices_.push_back(std::make_unique<Device>(*fleet, std::move((*identities)[i]), i));
  }
  return fleet;
}

void Fleet::start() {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    devices_[i]->start(
        Millis(static_cast<std::int64_t>(1000.0 * static_cast<double>(i) / options_.connects_per_second)));
  }
  if (!options_.attack_reports.empty()) infect();
  else if (!options_.attacked.empty()) scheduler_.call_after(options_.attack_after, [this] { infect(); });
  flush_regularly();
}

void Fleet::infect() {
  for (const std::unique_ptr<Device>& device : devices_) {
    if (std::find(options_.attacked.begin(), options_.attacked.end(), device->thing()) == options_.attacked.end())
      continue;
    device->infect();
    write_event({{"event", "infected"}, {"thing", device->thing()}});
  }
}

void Fleet::begin_stop() {
  stopping_ = true;
  for (const std::unique_ptr<Device>& device : devices_) device->begin_stop();
}

bool Fleet::all_closed() const {
  return std::all_of(devices_.begin(), devices_.end(), [](const auto& device) { return device->is_closed(); });
}

void Fleet::write_acknowledged(const std::string& thing, std::int64_t report_id) {
  if (outputs_.acked == nullptr) return;
  *outputs_.acked << fleetward::json::dump({{"thing", thing}, {"report_id", report_id}}) << '\n';
}

void Fleet::write_event(Value event) {
  event["time"] = fleetward::to_ms(scheduler_.now());
  *outputs_.events << fleetward::json::dump(event) << std::endl;
}

void Fleet::flush() {
  if (outputs_.acked != nullptr) outputs_.acked->flush();
  outputs_.events->flush();
}

void Fleet::flush_regularly() {
  flush();
  if (!stopping_) scheduler_.call_after(flush_interval, [this] { flush_regularly(); });
}

Value Fleet::summary() const {
  const Counters& c = counters_;
  return {{"event", "summary"},
          {"devices", devices_.size()},
          {"connects", c.connects.load()},
          {"sent", c.sent.load()},
          {"resent", c.resent.load()},
          {"acknowledged", c.acknowledged.load()},
          {"not_acknowledged", c.not_acknowledged.load()},
          {"accepted", c.accepted.load()},
          {"rejected", c.rejected.load()},
          {"held_back", c.held_back.load()},
          {"disconnected", c.disconnected.load()},
          {"refused", c.refused.load()},
          {"unreachable", c.unreachable.load()}};
}

}  // namespace fleetsim
