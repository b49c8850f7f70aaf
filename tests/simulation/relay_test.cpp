// Relays alone, on a bus that takes its time.
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "repository/outbox.hpp"
#include "repository/outbox_relay.hpp"
#include "simulation/broker.hpp"
#include "simulation/process.hpp"
#include "simulation/relay_oracle.hpp"
#include "simulation/seeds.hpp"

namespace fleetward::simulation {
namespace {

constexpr std::size_t records = 12'000;  // twelve polls

// The first word on a table, which is in the outbox.
bus::OutRecord say_a_rule(SharedStore& store) {
  const fleet::CloudEvent event{"event-1",    "/fleetward/test",  "test",
                                "manifest/1", instant_from_ms(0), json::Value::object()};
  const Status said = store.now([&event](store::Transaction& tx) {
    return repository::publish(tx, {std::string(fleet::topic::rules), 1, event, {}});
  });
  EXPECT_TRUE(said.ok()) << said.error().message;
  return {std::string(fleet::topic::rules), "manifest/1", to_json_text(event), {{fleet::header::version, "1"}}, {}};
}

// Reading the tables back takes several times as long as a lease lasts: whoever does so keeps it meanwhile. Otherwise
// each takes it from the other, and what both publish never leaves the outbox.
TEST(Relays, OneThatReadsTheTablesForLongKeepsItsLease) {
  Universe universe(1, instant_from_ms(1'700'000'100'000));
  const LogsInto logs(universe);
  DurableLog log;
  Broker broker(universe, log, 1, Millis(1'000));
  ASSERT_TRUE(broker.bus().ensure_topics(all_topics(1)).ok());
  SharedStore store(universe);
  ASSERT_TRUE(store.direct().migrate(repository::all_migrations()).ok());
  RelayOracle oracle(store);
  const bus::OutRecord rule = say_a_rule(store);
  broker.bus().append(std::vector<bus::OutRecord>(records, rule), [](const auto&) {});
  universe.run_for(Millis(5'000));
  log.on_write = [&oracle](const Written& written) { oracle.on_write(written); };
  store.on_commit = [&oracle] { oracle.on_commit(); };

  const BusFaults bus_faults;
  const StoreFaults store_faults;
  Ghosts ghosts;
  std::vector<std::unique_ptr<Process>> processes;
  for (const char* name : {"relay-1", "relay-2"}) {
    Process& process = *processes.emplace_back(std::make_unique<Process>(universe, name, processes.size()));
    process.bus = std::make_unique<ProcessBus>(universe, process.loop, broker.bus(), bus_faults, ghosts);
    process.bus->on_append = [&oracle, &process] { oracle.on_append(process.loop); };
    process.store = std::make_unique<ProcessStore>(store, process.loop, store_faults);
    repository::RelayOptions options;
    options.holder = name;
    options.lease = Millis(3'000);
    process
        .run(std::make_unique<repository::OutboxRelay>(*process.store, *process.bus, process.loop, process.metrics,
                                                       options))
        .start();
  }
  universe.run_for(Millis(60'000));
  oracle.at_rest();
  EXPECT_EQ(universe.failure(), "") << universe.history();
  EXPECT_EQ(oracle.holders(), 1U);
  EXPECT_EQ(oracle.repeated(), 0U);
  EXPECT_TRUE(store
                  .now([](store::Transaction& tx) -> Status {
                    const auto left = tx.query("SELECT count(*) FROM outbox");
                    EXPECT_EQ(left->at(0).integer(0), 0);
                    return {};
                  })
                  .ok());

  for (const auto& process : processes) process->crash();
  log.on_write = {};
  broker.crash();
}

}  // namespace
}  // namespace fleetward::simulation
