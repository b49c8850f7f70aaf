#include "bus/embedded_bus.hpp"

#include "bus/memory_storage.hpp"
#include "bus/sqlite_storage.hpp"

namespace fleetward::bus {
namespace {

// Owns the two threads; they stop after the bus that runs on them.
class EmbeddedBus final : public Bus {
 public:
  EmbeddedBus(std::unique_ptr<Storage> storage, metrics::Registry& metrics, LocalBusOptions options)
      : writer_("bus-writer"),
        reader_("bus-reader"),
        bus_(make_local_bus(std::move(storage), writer_, reader_, metrics, options)) {}
  ~EmbeddedBus() override {
    writer_.stop();
    reader_.stop();
  }

  Status ensure_topics(const std::vector<TopicSpec>& topics) override { return bus_->ensure_topics(topics); }
  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return bus_->partition_count(topic);
  }
  void append_batch(Batch records, AppendCallback done) override {
    bus_->append_batch(std::move(records), std::move(done));
  }
  [[nodiscard]] Status health() const override { return bus_->health(); }
  Result<std::unique_ptr<Consumer>> subscribe(async::Scheduler& scheduler, ConsumerOptions options) override {
    return bus_->subscribe(scheduler, std::move(options));
  }
  Result<std::unique_ptr<Reader>> read(async::Scheduler& scheduler, std::string topic,
                                       std::vector<Position> start) override {
    return bus_->read(scheduler, std::move(topic), std::move(start));
  }
  async::Task<Result<std::vector<PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) override {
    return bus_->ranges(scheduler, std::move(topic));
  }
  async::Task<Result<std::vector<Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                       std::string topic) override {
    return bus_->committed(scheduler, std::move(group), std::move(topic));
  }

 private:
  async::LoopThread writer_;
  async::LoopThread reader_;
  std::unique_ptr<Bus> bus_;
};

// What a file already holds is known without ensure_topics(): a replay does not say what it expects.
Result<std::unique_ptr<Bus>> start(std::unique_ptr<Storage> storage, metrics::Registry& metrics,
                                   LocalBusOptions options) {
  const auto topics = storage->topics();
  if (!topics) return topics.error();
  auto bus = std::make_unique<EmbeddedBus>(std::move(storage), metrics, options);
  if (const Status known = bus->ensure_topics(*topics); !known) return known.error();
  return std::unique_ptr<Bus>(std::move(bus));
}

}  // namespace

std::unique_ptr<Bus> make_memory_bus(async::Scheduler& scheduler, metrics::Registry& metrics, LocalBusOptions options) {
  return make_local_bus(make_memory_storage(), scheduler, scheduler, metrics, options);
}

Result<std::unique_ptr<Bus>> open_embedded_bus(const std::string& path, metrics::Registry& metrics,
                                               LocalBusOptions options) {
  auto storage = open_sqlite_storage(path);
  if (!storage) return storage.error();
  return start(std::move(*storage), metrics, options);
}

Result<std::unique_ptr<Bus>> open_embedded_bus_read_only(const std::string& path, metrics::Registry& metrics) {
  auto storage = open_sqlite_storage_read_only(path);
  if (!storage) return storage.error();
  LocalBusOptions options;
  options.clean_every = Millis(0);
  return start(std::move(*storage), metrics, options);
}

}  // namespace fleetward::bus
