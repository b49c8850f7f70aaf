#include "simulation/detection_world.hpp"

#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/topics.hpp"
#include "services/cohorts/cohorts.hpp"

namespace fleetward::simulation {
namespace {

const Instant start = instant_from_ms(1'700'000'370'000);  // half a minute before a pane ends
constexpr Millis trouble_time{60'000};
constexpr Millis calm_time{60'000};
constexpr std::size_t detector_count = 3;
constexpr std::size_t process_count = detector_count + 2;
constexpr Millis retry_pause{150};

BusFaults some_faults(Choice& choice) {
  const auto rate = [&choice](std::int64_t low, std::int64_t high) {
    return choice.one_in(3) ? 0 : choice.between(low, high);
  };
  return {rate(5, 60), rate(10, 60), rate(10, 60), rate(3, 20), rate(20, 200), rate(20, 200), choice.millis(0, 80)};
}

std::string event_text(const std::string& id, const json::Value& data) {
  return fleet::to_json_text({id, "/simulation", "type", id, start, data});
}

}  // namespace

struct DetectionWorld::Thing {
  std::string name;
  std::uint16_t packet = 0;
  std::int64_t reports = 0;
};

DetectionWorld::DetectionWorld(std::uint64_t seed)
    : universe_(seed, start),
      faults_(some_faults(universe_.choice())),
      partitions_(static_cast<std::int32_t>(universe_.choice().between(1, 3))),
      oracle_(universe_, partitions_),
      loop_(universe_, "world"),
      disturb_one_in_(universe_.choice().between(300, 5'000)) {
  Choice& choice = universe_.choice();
  log_.on_write = [this](const Written& written) { oracle_.on_write(written); };
  log_.write_fails = [this, one_in = choice.one_in(2) ? 0 : choice.between(20, 200)] {
    return in_trouble_ && universe_.choice().one_in(one_in);
  };
  settings_.checkpoint_every = choice.millis(50, 3'000);
  settings_.session_timeout = choice.millis(2'000, 10'000);
  settings_.records_per_poll = static_cast<std::size_t>(choice.one_in(3) ? choice.between(1, 5) : 2'000);
  start_bus();
  detectors_.resize(process_count);
  for (std::size_t i = 0; i < process_count; ++i) start_detector(i);
  for (std::int64_t i = 0; i < choice.between(2, 8); ++i) {
    things_.push_back(std::make_unique<Thing>(Thing{fmt::format("cam-{}", i), 0, 0}));
  }
  write_rules();
  for (const auto& thing : things_) report(*thing);
  trouble();
  universe_.after_each = [this](Loop& loop) {
    if (in_trouble_ && universe_.choice().one_in(disturb_one_in_)) disturb(loop);
  };
}

// At any await, between any two pieces of work.
void DetectionWorld::disturb(Loop& loop) {
  for (std::size_t i = 0; i < detectors_.size(); ++i) {
    if (!detectors_[i] || &detectors_[i]->loop != &loop) continue;
    Choice& choice = universe_.choice();
    if (choice.one_in(2)) {
      stall(*detectors_[i], choice.millis(10, 15'000));
    } else {
      crash_detector(i);
      loop_.call_after(choice.millis(0, 5'000), [this, i] { start_detector(i); });
    }
  }
}

void DetectionWorld::stall(Process& process, Millis duration) {
  universe_.note(fmt::format("stands still: {} for {} ms", process.loop.name(), duration.count()));
  process.loop.stand_still(duration);
}

// Whoever holds tasks goes before the loops on which those unwind.
DetectionWorld::~DetectionWorld() {
  log_.on_write = {};
  for (std::size_t i = 0; i < detectors_.size(); ++i) crash_detector(i);
  ghosts_.clear();
  brokers_.back()->crash();
  loop_.die();
  loop_.drop_everything();
}

const std::string& DetectionWorld::run() {
  universe_.run_for(trouble_time);
  in_trouble_ = false;
  faults_ = {};
  for (std::size_t i = 0; i < detectors_.size(); ++i) {
    if (!detectors_[i]) start_detector(i);
  }
  universe_.run_for(calm_time);
  if (!universe_.failed()) oracle_.at_rest();
  return universe_.failure();
}

// ---- processes

void DetectionWorld::start_bus() {
  Choice& choice = universe_.choice();
  brokers_.push_back(std::make_unique<Broker>(universe_, log_, choice.between(20, 400), choice.millis(10, 2'000)));
  if (!brokers_.back()->bus().ensure_topics(all_topics(partitions_))) universe_.fail("the topics cannot be made");
  if (writers_bus_) {
    writers_bus_->cut();
    earlier_buses_.push_back(std::move(writers_bus_));
  }
  writers_bus_ = std::make_unique<ProcessBus>(universe_, loop_, brokers_.back()->bus(), faults_, ghosts_);
}

void DetectionWorld::start_detector(std::size_t number) {
  if (detectors_[number]) return;
  detector::DetectorSettings settings = settings_;
  settings.member =
      number < detector_count ? fmt::format("detector-{}", number) : fmt::format("cohorts-{}", number - detector_count);
  auto process = std::make_unique<Process>(universe_, settings.member, ++incarnations_);
  process->loop.clock_error = universe_.choice().millis(-500, 500);
  process->bus = std::make_unique<ProcessBus>(universe_, process->loop, brokers_.back()->bus(), faults_, ghosts_);
  Status started;
  if (number < detector_count) {
    started = process
                  ->run(std::make_unique<detector::Detector>(settings, *process->bus, process->loop, process->metrics,
                                                             process->random))
                  .start();
  } else {
    cohorts::CohortsSettings of_cohorts;
    of_cohorts.member = settings.member;
    of_cohorts.late_after = Millis(5'000);
    of_cohorts.session_timeout = settings.session_timeout;
    started =
        process->run(std::make_unique<cohorts::Cohorts>(of_cohorts, *process->bus, process->loop, process->metrics))
            .start();
  }
  if (!started) universe_.fail(started.error().message);
  universe_.note("starts: " + process->loop.name());
  detectors_[number] = std::move(process);
}

void DetectionWorld::crash_detector(std::size_t number) {
  if (!detectors_[number]) return;
  universe_.note("crashes: " + detectors_[number]->loop.name());
  detectors_[number]->crash();
  graveyard_.push_back(std::move(detectors_[number]));
  ++crashes_;
}

// Bus and all: what the bus had queued and not written is gone.
void DetectionWorld::crash_all() {
  for (std::size_t i = 0; i < detectors_.size(); ++i) crash_detector(i);
  ghosts_.clear();
  universe_.note("crashes: the bus");
  brokers_.back()->crash();
  start_bus();
  for (std::size_t i = 0; i < detectors_.size(); ++i) start_detector(i);
  // What waited for an answer of the old bus never gets one: things begin again.
  loop_.drop_everything();
  write_rules();
  for (const auto& thing : things_) report(*thing);
  trouble();
}

void DetectionWorld::trouble() {
  Choice& choice = universe_.choice();
  loop_.call_after(choice.millis(100, 4'000), [this] {
    if (!in_trouble_) return;
    Choice& c = universe_.choice();
    const auto victim = static_cast<std::size_t>(c.below(process_count));
    const std::int64_t kind = c.below(10);
    if (kind < 3) {
      crash_detector(victim);
      loop_.call_after(c.millis(0, 5'000), [this, victim] { start_detector(victim); });
    } else if (kind < 5 && detectors_[victim]) {
      stall(*detectors_[victim], c.millis(10, 15'000));
    } else if (kind < 7 && detectors_[victim]) {
      detectors_[victim]->bus->away_until = universe_.now() + c.millis(10, 8'000);
    } else if (kind < 8) {
      write_rules();
    } else if (kind < 9) {
      write_fact(things_[static_cast<std::size_t>(c.below(static_cast<std::int64_t>(things_.size())))]->name);
    } else if (c.one_in(4)) {
      return crash_all();
    }
    trouble();
  });
}

// ---- what is written

void DetectionWorld::append_until_there(bus::OutRecord record, std::function<void()> then) {
  writers_bus_->append({record}, [this, record, then](const Result<std::vector<bus::Position>>& done) {
    const bool there = done.ok();
    loop_.post([this, record, then, there] {
      if (there) return then();
      loop_.call_after(retry_pause, [this, record, then] { append_until_there(record, then); });
    });
  });
}

// A new version of the profile, with other ports or none, then the manifest that names it.
void DetectionWorld::write_rules() {
  const std::int64_t number = ++manifest_;
  const int extra = static_cast<int>(universe_.choice().below(3));
  json::Value ports = json::Value::array({22});
  if (extra > 0) ports.push_back(8000 + extra);
  const json::Value behaviors = {{{"name", "ports"},
                                  {"metric", "aws:listening-tcp-ports"},
                                  {"criteria", {{"comparisonOperator", "in-port-set"}, {"value", {{"ports", ports}}}}}},
                                 {{"name", "many"},
                                  {"metric", "aws:num-listening-tcp-ports"},
                                  {"criteria",
                                   {{"comparisonOperator", "less-than-equals"},
                                    {"durationSeconds", 300},
                                    {"statisticalThreshold", {{"statistic", "p90"}}}}}}};
  const json::Value profile = {{"securityProfileName", "cameras"}, {"version", number}, {"behaviors", behaviors}};
  const fleet::Manifest manifest{number, {{"cameras", number, {{fleet::Target::Kind::all_things, {}}}}}, {}};
  const auto rule = [](const std::string& key, const json::Value& value) {
    return bus::OutRecord{std::string(fleet::topic::rules),
                          key,
                          event_text(key, value),
                          {{std::string(fleet::header::version), "1"}},
                          std::nullopt};
  };
  const bus::OutRecord named = rule(fleet::manifest_key(number), to_json(manifest));
  append_until_there(rule(fleet::profile_key("cameras", number), profile),
                     [this, named] { append_until_there(named, [] {}); });
}

void DetectionWorld::write_fact(const std::string& thing) {
  const std::int64_t version = ++fact_versions_[thing];
  const bool deleted = universe_.choice().one_in(6);
  const fleet::RegistryFact fact{thing, "id-1", version, deleted, "camera", "1.0", {"all", "site-1"}};
  append_until_there({std::string(fleet::topic::devices),
                      thing,
                      event_text(thing, to_json(fact)),
                      {{std::string(fleet::header::kind), "registry"}},
                      std::nullopt},
                     [] {});
}

void DetectionWorld::report(Thing& thing) {
  Choice& choice = universe_.choice();
  loop_.call_after(choice.millis(20, 1'500), [this, &thing] {
    if (!in_trouble_) return;
    json::Value ports = json::Value::array({{{"port", 22}}});
    if (universe_.choice().one_in(4)) ports.push_back({{"port", 8001}});
    const json::Value text = {{"header", {{"report_id", ++thing.reports}, {"version", "1.0"}}},
                              {"metrics", {{"listening_tcp_ports", {{"ports", ports}, {"total", ports.size()}}}}}};
    thing.packet = static_cast<std::uint16_t>(thing.packet % 65'535 + 1);
    send(thing, json::dump(text), thing.packet, false);
  });
}

// As a device would: again, marked as such, until it is acknowledged.
void DetectionWorld::send(Thing& thing, std::string text, std::uint16_t packet, bool again) {
  bus::OutRecord record{std::string(fleet::topic::devices), thing.name, text, {}, std::nullopt};
  record.headers = {{std::string(fleet::header::kind), "report"},
                    {std::string(fleet::header::received_ms), std::to_string(to_ms(universe_.now()))},
                    {std::string(fleet::header::packet_id), std::to_string(packet)}};
  if (again) record.headers.push_back({std::string(fleet::header::dup), "1"});
  writers_bus_->append({record}, [this, &thing, text, packet](const Result<std::vector<bus::Position>>& done) {
    const bool there = done.ok();
    loop_.post([this, &thing, text, packet, there] {
      if (there) return report(thing);
      loop_.call_after(retry_pause, [this, &thing, text, packet] { send(thing, text, packet, true); });
    });
  });
}

}  // namespace fleetward::simulation
