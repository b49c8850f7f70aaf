// A member of a consumer group in a process of its own, which tests stop, continue and kill.
//
//   kafka_member BOOTSTRAP GROUP TOPIC TABLE MEMBER
//
// Reads one record of TOPIC, begins a unit of work (a record for TABLE, and the offset), says "ready" and the offset at
// which it started; commits at the next line of its input and says what came of it: "committed", or the error's code.
#include <future>
#include <iostream>

#include "bus/kafka_bus.hpp"

namespace fleetward::contract {
namespace {

constexpr Millis session{1'500};
constexpr Millis transaction_limit{3'000};

template <class T>
async::Task<void> hand_over(async::Task<T> task, std::promise<T>& promise) {
  T value = co_await std::move(task);
  promise.set_value(std::move(value));
}

template <class T>
T await(async::Scope& scope, async::Task<T> task) {
  std::promise<T> promise;
  scope.spawn("member", hand_over(std::move(task), promise));
  return promise.get_future().get();
}

[[noreturn]] void fail(const Error& error) {
  std::cout << to_string(error) << std::endl;
  std::exit(1);
}

int run(const std::vector<std::string>& arguments) {
  bus::KafkaOptions options;
  options.bootstrap = arguments.at(1);
  options.security = "plain";
  options.replication = 1;
  options.client_id = arguments.at(5);
  options.transaction_limit = transaction_limit;
  metrics::Registry metrics;
  auto bus = bus::open_kafka_bus(options, metrics);
  if (!bus) fail(bus.error());
  async::LoopThread loop("member");
  async::Scope scope(loop, "member");
  auto consumer = (*bus)->subscribe(loop, {arguments.at(2), arguments.at(3), arguments.at(5), session, 8 << 20});
  if (!consumer) fail(consumer.error());
  std::optional<bus::Record> record;
  while (!record) {
    auto some = await(scope, (*consumer)->poll(1, Millis(100)));
    if (!some) fail(some.error());
    if (!some->records.empty()) record = some->records[0];
  }
  auto work = (*consumer)->begin();
  work->append({arguments.at(4), record->key, arguments.at(5), {}, 0});
  work->set_offset(record->partition, record->offset + 1);
  std::cout << "ready" << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const auto done = await(scope, work->commit());
  std::cout << (done ? "committed" : to_string(done.error().code)) << std::endl;
  work.reset();
  consumer->reset();
  return 0;
}

}  // namespace
}  // namespace fleetward::contract

int main(int argc, char** argv) { return fleetward::contract::run({argv, argv + argc}); }
