#include "simulation/relay_oracle.hpp"

#include "access/record_signature.hpp"
#include "fleet/topics.hpp"
#include "simulation/forger.hpp"

namespace fleetward::simulation {
namespace {

constexpr Millis a_moment{1'000};  // longer than any way to bus and store, shorter than half a lease

bool is_table(std::string_view topic) {
  return topic == fleet::topic::rules || topic == fleet::topic::access || topic == fleet::topic::certificates;
}

bool is_of_the_outbox(std::string_view topic) {
  return is_table(topic) || topic == fleet::topic::actions || topic == fleet::topic::incidents;
}

}  // namespace

void RelayOracle::on_commit() {
  const Status read = store_.now([this](store::Transaction& tx) -> Status {
    const auto lease = tx.query("SELECT holder, generation FROM relay_lease");
    if (!lease) return lease.error();
    if (lease->empty() || lease->at(0).text(0) == holder_) return {};
    const std::int64_t generation = lease->at(0).integer(1);
    if (generation <= generation_)
      universe_.fail(fmt::format("the lease went to {} with generation {}, which {} had", lease->at(0).text(0),
                                 generation, holder_));
    generation_ = generation;
    holder_ = lease->at(0).text(0);
    since_ = universe_.now();
    ++holders_;
    universe_.note("the lease: " + holder_);
    return {};
  });
  if (!read) universe_.fail("the lease cannot be read: " + read.error().message);
}

void RelayOracle::on_append(const Loop& relay) {
  if (relay.name() == holder_) return;
  const Instant has_run_since = std::max(since_, relay.still_until());
  if (universe_.now() > has_run_since + a_moment)
    universe_.fail(fmt::format("{} publishes, and {} has had the lease for {} ms", relay.name(), holder_,
                               (universe_.now() - since_).count()));
}

void RelayOracle::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (!is_of_the_outbox(r.topic) || !r.value) continue;
    if (access::is_signed_topic(r.topic) && !is_signed(r)) continue;  // forged
    take(r);
  }
}

void RelayOracle::take(const bus::Record& record) {
  const auto text = bus::find_header(record.headers, fleet::header::version);
  if (!text) return universe_.fail("a record of " + record.topic + " has no version");
  const std::int64_t version = std::atoll(std::string(*text).c_str());
  Key& key = keys_[{record.topic, record.key}];
  const std::int64_t newest = key.said.empty() ? 0 : key.said.rbegin()->first;
  key.last = version;
  const auto [said, is_new] = key.said.emplace(version, *record.value);
  if (!is_new) {
    ++repeated_;
    if (said->second != *record.value)
      universe_.fail(fmt::format("two records of {} in {} have version {}", record.key, record.topic, version));
  } else if (version < newest || (version > newest + 1 && !is_table(record.topic))) {
    universe_.fail(fmt::format("{} of {}: version {} comes after {}", record.topic, record.key, version, newest));
  }
}

void RelayOracle::at_rest() {
  const Status read = store_.now([this](store::Transaction& tx) -> Status {
    const auto rows = tx.query("SELECT topic, key, version FROM outbox_latest");
    if (!rows) return rows.error();
    for (const store::Row& row : *rows) {
      if (!is_of_the_outbox(row.text(0))) continue;
      const Key& key = keys_[{row.text(0), row.text(1)}];
      const std::int64_t newest = key.said.empty() ? 0 : key.said.rbegin()->first;
      if (newest != row.integer(2))
        universe_.fail(fmt::format("{} of {}: the store has said {}, the bus has up to {}", row.text(0), row.text(1),
                                   row.integer(2), newest));
      if (is_table(row.text(0)) && key.last != newest)
        universe_.fail(fmt::format("{} of {}: version {} comes last, the newest is {}", row.text(0), row.text(1),
                                   key.last, newest));
    }
    return {};
  });
  if (!read) universe_.fail("what was said cannot be read: " + read.error().message);
}

}  // namespace fleetward::simulation
