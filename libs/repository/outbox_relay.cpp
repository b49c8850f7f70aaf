#include "repository/outbox_relay.hpp"

#include "core/fault.hpp"
#include "fleet/topics.hpp"
#include "json/json.hpp"
#include "log/log.hpp"
#include "repository/outbox.hpp"
#include "repository/table_check.hpp"

namespace fleetward::repository {
namespace {

constexpr Millis pause_after_failure_min{50};
constexpr Millis pause_after_failure_max{5'000};
constexpr Millis look_at_least_every{1'000};
constexpr std::int64_t check_page = 10'000;

struct OutboxRow {
  std::int64_t id = 0;
  bus::OutRecord record;
};

Result<std::vector<OutboxRow>> next_rows(store::Transaction& tx, std::int64_t limit) {
  const auto rows = tx.query("SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1", {limit});
  if (!rows) return rows.error();
  std::vector<OutboxRow> out;
  for (const store::Row& row : *rows) {
    auto headers = headers_from_text(row.text(4));
    if (!headers) return headers.error();
    std::optional<std::string> value = row.text(3);
    if (*value == tombstone) value.reset();
    out.push_back({row.integer(0), {row.text(1), row.text(2), std::move(value), std::move(*headers), std::nullopt}});
  }
  return out;
}

}  // namespace

struct OutboxRelay::State {
  State(store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m, RelayOptions o)
      : store(s),
        bus(b),
        scheduler(sch),
        options(std::move(o)),
        scope(sch, "outbox-relay"),
        listener(s.listen(sch, std::string(outbox_channel))),
        published(m.counter("fleetward_outbox_published_total", "Outbox rows that are on the bus.")),
        failures(m.counter("fleetward_outbox_failures_total", "Attempts to publish outbox rows that failed.")),
        rewritten(m.counter("fleetward_outbox_rewritten_total", "Table records written again after a check.")),
        forged(m.counter("fleetward_outbox_forged_total",
                         "Table records that no role of ours has signed, each time that a check met one.")),
        signers(options.signers) {}

  async::Task<void> run() {
    Millis pause = pause_after_failure_min;
    while (true) {
      const Result<bool> worked = co_await step();
      ready = worked.ok();
      if (!worked) {
        failures.add();
        log::warn("outbox_relay_failed", {{"error", worked.error().message}});
        if (scope.stopping()) co_return;
        co_await scope.sleep(pause);
        pause = std::min(pause * 2, pause_after_failure_max);
        continue;
      }
      pause = pause_after_failure_min;
      if (*worked) continue;
      if (scope.stopping()) co_return;
      // A commit is for who has the lease to hear: if all relays asked the store at each, they would keep it, and the
      // processors, from the one that publishes.
      if (taken_over) co_await listener->wait(look_at_least_every);
      else co_await scope.sleep(look_at_least_every);
    }
  }

  // True when there was something to publish.
  async::Task<Result<bool>> step() {
    const Result<bool> held = co_await hold_lease();
    if (!held) co_return held.error();
    if (!*held) co_return false;
    if (!taken_over || has_passed(checked_at, scheduler.now(), options.check_every)) {
      const Status taken = co_await take_over();
      if (!taken) co_return taken.error();
      taken_over = true;
      checked_at = scheduler.now();
    }
    const std::int64_t limit = options.batch_rows;
    std::function<Result<std::vector<OutboxRow>>(store::Transaction&)> read = [limit](store::Transaction& tx) {
      return next_rows(tx, limit);
    };
    const Result<std::vector<OutboxRow>> rows =
        co_await store::transact<std::vector<OutboxRow>>(store, scheduler, read);
    if (!rows) co_return rows.error();
    if (rows->empty()) co_return false;
    std::vector<bus::OutRecord> records;
    for (const OutboxRow& row : *rows) records.push_back(row.record);
    fault::crash_here("relay.before_append");
    const Result<std::vector<bus::Position>> appended = co_await bus::append(bus, scheduler, std::move(records));
    if (!appended) co_return appended.error();
    fault::crash_here("relay.after_append");
    const Status removed = co_await remove(*rows);
    if (!removed) co_return removed.error();
    published.add(rows->size());
    co_return true;
  }

  // Only the holder of the generation deletes: a relay that was overtaken stops here. Just what was published goes:
  // where ids are drawn before the commit, a smaller one may have become visible meanwhile.
  async::Task<Status> remove(const std::vector<OutboxRow>& rows) {
    std::vector<std::int64_t> ids;
    for (const OutboxRow& row : rows) ids.push_back(row.id);
    const std::int64_t generation_held = generation;
    std::function<Status(store::Transaction&)> work = [ids, generation_held](store::Transaction& tx) -> Status {
      const auto lease = tx.query("SELECT generation FROM relay_lease");
      if (!lease) return lease.error();
      if (lease->empty() || lease->at(0).integer(0) != generation_held)
        return Error(ErrorCode::fenced, "another relay has the lease");
      for (const std::int64_t id : ids) {
        const auto gone = tx.execute("DELETE FROM outbox WHERE id = $1", {id});
        if (!gone) return gone.error();
      }
      return {};
    };
    const Status removed = co_await store::transact(store, scheduler, work);
    if (!removed && removed.error().code == ErrorCode::fenced) lose_lease();
    co_return removed;
  }

  void lose_lease() { has_lease = taken_over = false; }

  async::Task<Result<bool>> hold_lease() {
    const Instant now = scheduler.now();
    if (has_lease && (now < lease_until - options.lease / 2 || fault::is_armed("relay.skip_lease"))) co_return true;
    const std::string holder = options.holder;
    const Instant until = now + options.lease;
    const std::int64_t generation_held = has_lease ? generation : 0;
    std::function<Result<std::int64_t>(store::Transaction&)> take =
        [=](store::Transaction& tx) -> Result<std::int64_t> {
      const auto lease = tx.query("SELECT holder, generation, expires_ms FROM relay_lease");
      if (!lease) return lease.error();
      const bool has_our_name = !lease->empty() && lease->at(0).text(0) == holder;
      const bool free = lease->empty() || has_our_name || lease->at(0).integer(2) < to_ms(now);
      if (!free) return 0;
      // Ours still: then the generation stays. One that was another's is never taken on.
      const bool is_ours = has_our_name && lease->at(0).integer(1) == generation_held;
      const std::int64_t next = lease->empty() ? 1 : lease->at(0).integer(1) + (is_ours ? 0 : 1);
      const auto written = tx.execute(
          "INSERT INTO relay_lease VALUES(1, $1, $2, $3) ON CONFLICT(one) DO UPDATE SET holder=excluded.holder, "
          "generation=excluded.generation, expires_ms=excluded.expires_ms",
          {holder, next, to_ms(until)});
      if (!written) return written.error();
      return next;
    };
    const Result<std::int64_t> taken = co_await store::transact<std::int64_t>(store, scheduler, take);
    if (!taken) co_return taken.error();
    if (*taken == 0) {
      lose_lease();
      co_return false;
    }
    if (*taken != generation) taken_over = false;
    generation = *taken;
    has_lease = true;
    lease_until = until;
    co_return true;
  }

  // For what may take longer than a lease lasts: renews it, and says when it went to another one.
  async::Task<Status> keep_lease() {
    const Result<bool> held = co_await hold_lease();
    if (!held) co_return held.error();
    co_return *held ? Status() : Status(Error(ErrorCode::fenced, "another relay has the lease"));
  }

  async::Task<Status> take_over() {
    for (const fleet::TopicInfo& info : fleet::all_topics) {
      const bool ours = info.name == fleet::topic::rules || info.name == fleet::topic::access ||
                        info.name == fleet::topic::certificates;
      if (!ours) continue;
      const std::string topic(info.name);
      const Status checked = co_await check_table(topic);
      if (!checked) co_return checked;
    }
    co_return Status();
  }

  async::Task<Status> check_table(std::string topic) {
    TableView view(topic, signers);
    const Status told = co_await read_said(view);
    if (!told) co_return told;
    auto reader = bus::read_all(bus, scheduler, topic);
    if (!reader) co_return reader.error();
    while (!(*reader)->caught_up()) {
      const Result<std::vector<bus::Record>> some = co_await (*reader)->poll(1000, Millis(0));
      if (!some) co_return some.error();
      for (const bus::Record& record : *some) view.note(record);
      const Status kept = co_await keep_lease();
      if (!kept) co_return kept;
    }
    forged.add(view.forged());
    std::function<Result<std::vector<bus::OutRecord>>(store::Transaction&)> compare = [&view](store::Transaction& tx) {
      return to_rewrite(tx, view);
    };
    const Result<std::vector<bus::OutRecord>> again =
        co_await store::transact<std::vector<bus::OutRecord>>(store, scheduler, compare);
    if (!again) co_return again.error();
    const Status kept = co_await keep_lease();
    if (!kept) co_return kept;
    if (again->empty()) co_return Status();
    rewritten.add(again->size());
    const Result<std::vector<bus::Position>> appended = co_await bus::append(bus, scheduler, *again);
    if (!appended) co_return appended.error();
    co_return Status();
  }

  // What the store has said, a page a transaction.
  async::Task<Status> read_said(TableView& view) {
    bool is_all = false;
    while (!is_all) {
      std::function<Result<bool>(store::Transaction&)> page = [&view](store::Transaction& tx) {
        return view.read_said(tx, check_page);
      };
      const Result<bool> read = co_await store::transact<bool>(store, scheduler, page);
      if (!read) co_return read.error();
      const Status kept = co_await keep_lease();
      if (!kept) co_return kept;
      is_all = !*read;
    }
    co_return Status();
  }

  store::Store& store;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  RelayOptions options;
  async::Scope scope;
  std::unique_ptr<store::Listener> listener;
  metrics::Counter& published;
  metrics::Counter& failures;
  metrics::Counter& rewritten;
  metrics::Counter& forged;
  std::shared_ptr<const access::Signers> signers;
  std::int64_t generation = 0;
  Instant lease_until{};
  Instant checked_at{};
  bool has_lease = false;   // as far as we know
  bool taken_over = false;  // since we have it
  std::atomic<bool> ready{false};
};

OutboxRelay::OutboxRelay(store::Store& store, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics,
                         RelayOptions options)
    : state_(std::make_unique<State>(store, bus, scheduler, metrics, std::move(options))) {}
OutboxRelay::~OutboxRelay() = default;

void OutboxRelay::start() { state_->scope.spawn("run", state_->run()); }

void OutboxRelay::stop(Millis limit) {
  state_->scope.request_stop();
  state_->listener->wake();
  if (!state_->scope.join(limit)) log::error("outbox_relay_did_not_stop", {});
}

void OutboxRelay::set_signers(std::shared_ptr<const access::Signers> signers) {
  async::run_on(state_->scheduler, [&] { state_->signers = std::move(signers); });
}

bool OutboxRelay::is_ready() const { return state_->ready; }

}  // namespace fleetward::repository
