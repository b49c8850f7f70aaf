#include "simulation/broker.hpp"

#include "fleet/topics.hpp"

namespace fleetward::simulation {
namespace {

Loop::Latency disk(Universe& universe, std::int64_t hiccup_one_in, Millis hiccup_max) {
  return [&universe, hiccup_one_in, hiccup_max] {
    Choice& choice = universe.choice();
    return choice.one_in(hiccup_one_in) ? choice.millis(1, hiccup_max.count()) : choice.millis(0, 2);
  };
}

}  // namespace

Broker::Broker(Universe& universe, DurableLog& log, std::int64_t hiccup_one_in, Millis hiccup_max)
    : writer_(universe, "bus-writer", disk(universe, hiccup_one_in, hiccup_max)),
      reader_(universe, "bus-reader", disk(universe, hiccup_one_in, hiccup_max)) {
  bus::LocalBusOptions options;
  options.clean_every = Millis(5'000);
  bus_ = bus::make_local_bus(log.handle(), writer_, reader_, metrics_, options);
}

void Broker::crash() {
  writer_.die();
  reader_.die();
  bus_.reset();
  writer_.drop_everything();
  reader_.drop_everything();
}

std::vector<bus::TopicSpec> all_topics(std::int32_t partitions) {
  std::vector<bus::TopicSpec> out;
  for (const fleet::TopicInfo& t : fleet::all_topics) {
    out.push_back({std::string(t.name), t.per_device ? partitions : 1,
                   t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
  }
  return out;
}

}  // namespace fleetward::simulation
