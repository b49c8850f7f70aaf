#include "services/historian/letters.hpp"

#include <map>

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/dead_letter_repository.hpp"

namespace fleetward::historian {
namespace {

constexpr Millis retry_pause{500};
constexpr Millis poll_wait{1'000};
constexpr std::size_t batch_records = 100;  // each may be large
constexpr std::string_view letters_help = "Dead letters read";

Result<fleet::DeadLetter> read(const bus::Record& record) {
  const auto event = fleet::parse_cloud_event(record.value.value_or(""));
  if (!event) return event.error();
  return fleet::dead_letter_from_json(event->data);
}

}  // namespace

LetterKeeper::LetterKeeper(const HistorianSettings& settings, bus::Bus& bus, store::Store& store,
                           async::Scheduler& scheduler, async::Scope& scope, metrics::Registry& metrics)
    : settings_(settings),
      bus_(bus),
      store_(store),
      scheduler_(scheduler),
      scope_(scope),
      recorded_(metrics.counter("fleetward_historian_letters_total", letters_help, {{"result", "recorded"}})),
      repeated_(metrics.counter("fleetward_historian_letters_total", letters_help, {{"result", "repeated"}})),
      refused_(metrics.counter("fleetward_historian_letters_total", letters_help, {{"result", "refused"}})) {}

Status LetterKeeper::start() {
  bus::ConsumerOptions options;
  options.group = settings_.group + "-letters";
  options.topic = fleet::topic::dead_letters;
  options.member = settings_.member;
  auto consumer = bus_.subscribe(scheduler_, options);
  if (!consumer) return consumer.error().with_context("historian");
  consumer_ = std::move(*consumer);
  scope_.spawn("letters", run());
  return {};
}

void LetterKeeper::wake() {
  if (consumer_) consumer_->wake();
}

async::Task<Status> LetterKeeper::keep(const std::vector<bus::Record>& records) {
  std::vector<fleet::DeadLetter> letters;
  std::uint64_t refused = 0;
  for (const bus::Record& record : records) {
    auto letter = read(record);
    if (letter) letters.push_back(std::move(*letter));
    else ++refused;
    if (!letter) log::warn("dead_letter_refused", {{"offset", record.offset}, {"error", letter.error().message}});
  }
  const Instant now = scheduler_.now();
  std::function<Result<std::int64_t>(store::Transaction&)> work =
      [&letters, now](store::Transaction& tx) -> Result<std::int64_t> {
    std::int64_t added = 0;
    for (const fleet::DeadLetter& letter : letters) {
      const auto is_new = repository::record_dead_letter(tx, letter);
      if (!is_new) return is_new.error();
      added += *is_new ? 1 : 0;
    }
    const auto pruned = repository::prune_dead_letters(tx, now);
    if (!pruned) return pruned.error();
    return added;
  };
  const Result<std::int64_t> added = co_await store::transact<std::int64_t>(store_, scheduler_, work);
  if (!added) co_return added.error();
  refused_.add(refused);
  recorded_.add(static_cast<std::uint64_t>(*added));
  repeated_.add(letters.size() - static_cast<std::size_t>(*added));
  co_return Status();
}

async::Task<void> LetterKeeper::handle(const std::vector<bus::Record>& records) {
  Status kept = co_await keep(records);
  while (!kept) {
    is_behind_ = true;
    log::warn("historian_retries", {{"step", "letters"}, {"error", kept.error().message}});
    co_await scope_.sleep(retry_pause);
    if (scope_.stopping()) co_return;  // not committed: read again by the next one
    kept = co_await keep(records);
  }
  is_behind_ = false;
  std::map<std::int32_t, std::int64_t> next;
  for (const bus::Record& record : records) next[record.partition] = record.offset + 1;
  std::vector<bus::Position> positions;
  for (const auto& [partition, offset] : next) positions.push_back({partition, offset});
  const Status committed = co_await consumer_->commit(std::move(positions));
  // Not committed: read again some day, and found to be recorded.
  if (!committed) log::warn("offsets_not_committed", {{"error", committed.error().message}});
}

async::Task<void> LetterKeeper::run() {
  while (!scope_.stopping()) {
    const Result<bus::PollResult> polled = co_await consumer_->poll(batch_records, poll_wait);
    if (!polled) {
      log::warn("historian_retries", {{"step", "poll letters"}, {"error", polled.error().message}});
      co_await scope_.sleep(retry_pause);
      continue;
    }
    if (!polled->records.empty()) {
      co_await handle(polled->records);
    }
  }
  const Status closed = co_await consumer_->close();
  if (!closed) log::warn("consumer_close_failed", {{"error", closed.error().message}});
}

}  // namespace fleetward::historian
