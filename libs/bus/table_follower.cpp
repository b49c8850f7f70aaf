#include "bus/table_follower.hpp"

#include <charconv>

namespace fleetward::bus {
namespace {

constexpr std::size_t batch_records = 1000;
constexpr Millis wait_for_more{2'000};
constexpr Millis pause_after_failure{500};

std::optional<std::int64_t> version_of(const Record& record, std::string_view header) {
  const auto text = find_header(record.headers, header);
  if (!text) return std::nullopt;
  std::int64_t version = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), version);
  if (failed != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return version;
}

}  // namespace

TableFollower::TableFollower(Bus& bus, async::Scheduler& scheduler, std::string topic, std::string version_header,
                             Callbacks callbacks)
    : bus_(bus),
      scheduler_(scheduler),
      topic_(std::move(topic)),
      version_header_(std::move(version_header)),
      callbacks_(std::move(callbacks)) {}

void TableFollower::wake() {
  if (reader_) reader_->wake();
}

void TableFollower::hand_on(const Record& record) {
  if (callbacks_.accept && !callbacks_.accept(record)) return;
  if (const auto version = version_of(record, version_header_)) {
    const auto [seen, first] = versions_.try_emplace(record.key, *version);
    if (!first && *version <= seen->second) return;
    seen->second = *version;
  }
  callbacks_.record(record);
}

void TableFollower::offer(const std::vector<Record>& records) {
  for (const Record& record : records) hand_on(record);
  if (!records.empty() && callbacks_.batch_end) callbacks_.batch_end();
}

async::Task<void> TableFollower::run(async::Scope& scope) {
  while (!scope.stopping() && !reader_) {
    auto opened = read_all(bus_, scheduler_, topic_);
    if (opened) {
      reader_ = std::move(*opened);
      for (const Position& p : reader_->positions()) next_[p.partition] = p.offset;
    } else {
      if (callbacks_.failed) callbacks_.failed(opened.error());
      co_await scope.sleep(pause_after_failure);
    }
  }
  while (!scope.stopping()) {
    const Millis wait = caught_up_ ? wait_for_more : Millis(0);
    const Result<std::vector<Record>> some = co_await reader_->poll(batch_records, wait);
    if (some) {
      for (const Record& record : *some) {
        next_[record.partition] = record.offset + 1;
        hand_on(record);
      }
      if (!some->empty() && callbacks_.batch_end) callbacks_.batch_end();
    } else {
      if (callbacks_.failed) callbacks_.failed(some.error());
      co_await scope.sleep(pause_after_failure);
    }
    if (!caught_up_ && reader_->caught_up()) {
      caught_up_ = true;
      if (callbacks_.caught_up) callbacks_.caught_up();
    }
  }
}

}  // namespace fleetward::bus
