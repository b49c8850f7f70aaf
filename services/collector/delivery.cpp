#include "services/collector/delivery.hpp"

#include "core/fault.hpp"
#include "log/log.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis retry_pause{200};
constexpr std::string_view taken = "taken";
constexpr std::string_view unknown_thing = "unknown-thing";

}  // namespace

Delivery::Delivery(SourceName name, SourceConfig config, Surroundings& around)
    : name_(std::move(name)),
      config_(std::move(config)),
      around_(around),
      translator_(config_.format),
      retries_(around.metrics.counter("fleetward_collector_retries_total",
                                      "Batches that the store or the bus did not take at the first try.",
                                      {{"source", name_.text()}})),
      repeats_(around.metrics.counter("fleetward_collector_repeats_total",
                                      "Messages that their source marked as sent again.", {{"source", name_.text()}})) {
  count(taken);  // there from the start
}

metrics::Counter& Delivery::count(std::string_view result) {
  return around_.metrics.counter("fleetward_collector_messages_total", "Messages of sources by what became of them.",
                                 {{"source", name_.text()}, {"result", std::string(result)}});
}

void Delivery::give_back(const Message& message) {
  if (message.dup) repeats_.add();
  count("given-back").add();
}

async::Task<bool> Delivery::pause(std::string step, Error error) {
  retries_.add();
  if (!stuck_.exchange(true))
    log::warn("collector_retries", {{"source", name_.text()}, {"step", step}, {"error", error.message}});
  co_await around_.scope.sleep(retry_pause);
  co_return !around_.scope.stopping();
}

async::Task<bool> Delivery::know_things(const std::vector<collect::Translation>& translations) {
  std::vector<std::string> names;
  for (const collect::Translation& t : translations) {
    if (t.ok()) names.push_back(t.thing);
  }
  while (true) {
    const Status known = co_await around_.things.look_up(names);
    if (known) co_return true;
    const bool goes_on = co_await pause("look up things", known.error());
    if (!goes_on) co_return false;
  }
}

void Delivery::refuse_unknown(collect::Translation& t, const std::string& thing_id) const {
  if (!t.ok() || !thing_id.empty() || config_.takes_unknown) return;
  t.refusal = unknown_thing;
  t.why = t.thing + " is not registered";
}

Delivery::Prepared Delivery::prepare(const std::vector<Message>& messages,
                                     std::vector<collect::Translation> translations) {
  Prepared out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    collect::Translation& t = translations[i];
    const std::string id = t.ok() ? around_.things.id_of(t.thing) : "";
    refuse_unknown(t, id);
    out.results.push_back(t.ok() ? taken : t.refusal);
    out.records.push_back(t.ok()
                              ? report_record(name_, around_.instance, config_.vouched, messages[i], std::move(t), id)
                              : dead_letter_record(name_, messages[i], t.refusal, t.why));
  }
  return out;
}

async::Task<bool> Delivery::write(std::vector<bus::OutRecord> records) {
  while (true) {
    const auto written = co_await bus::append(around_.bus, around_.scheduler, records);
    if (written) co_return true;
    for (bus::OutRecord& record : records) mark_as_sent_again(record);
    const bool goes_on = co_await pause("append", written.error());
    if (!goes_on) co_return false;
  }
}

async::Task<bool> Delivery::deliver(std::vector<Message> messages) {
  std::vector<collect::Translation> translations;
  for (const Message& m : messages) {
    translations.push_back(translator_.translate(as_source(m)));
    if (m.dup) repeats_.add();
  }
  const bool known = co_await know_things(translations);
  if (!known) co_return false;
  Prepared prepared = prepare(messages, std::move(translations));
  const bool written = co_await write(std::move(prepared.records));
  if (!written) co_return false;
  fault::crash_here("collector.after_append");
  if (stuck_.exchange(false)) log::info("collector_goes_on", {{"source", name_.text()}});
  for (const std::string_view result : prepared.results) count(result).add();
  co_return true;
}

async::Task<std::optional<Delivery::Replayed>> Delivery::replay(fleet::DeadLetter letter) {
  const Message message = message_of(std::move(letter), around_.scheduler.now());
  std::vector<collect::Translation> translations;
  translations.push_back(translator_.translate(as_source(message)));
  const bool known = co_await know_things(translations);
  if (!known) co_return std::nullopt;
  collect::Translation& t = translations.front();
  const std::string id = t.ok() ? around_.things.id_of(t.thing) : "";
  refuse_unknown(t, id);
  metrics::Counter& counted = around_.metrics.counter(
      "fleetward_collector_replays_total", "Dead letters that were replayed, by what became of them.",
      {{"source", name_.text()}, {"result", std::string(t.ok() ? taken : t.refusal)}});
  if (!t.ok()) {
    counted.add();
    co_return Replayed{std::string(t.refusal), t.why};
  }
  std::vector<bus::OutRecord> records;
  records.push_back(report_record(name_, around_.instance, config_.vouched, message, std::move(t), id));
  const bool written = co_await write(std::move(records));
  if (!written) co_return std::nullopt;
  counted.add();
  co_return Replayed{std::string(taken), ""};
}

}  // namespace fleetward::collector
