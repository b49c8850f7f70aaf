// What of the simulated bus survives a crash: a Storage that tells the oracles of every transaction that became
// durable, and whose writes can fail.
//
// Owned by the world; each incarnation of the bus gets a handle on it.
#pragma once

#include <functional>
#include <memory>

#include "bus/memory_storage.hpp"

namespace fleetward::simulation {

// One transaction: durable together.
struct Written {
  std::vector<bus::Record> records;
  std::vector<bus::OffsetCommit> offsets;
};

class DurableLog {
 public:
  DurableLog() : storage_(bus::make_memory_storage()) {}

  std::unique_ptr<bus::Storage> handle();
  std::function<void(const Written&)> on_write;
  std::function<bool()> write_fails;

  bus::Storage& storage() { return *storage_; }
  std::vector<bus::Record> all(const std::string& topic, std::int32_t partitions);

 private:
  class Handle;
  Status write(std::span<bus::PlacedRecord> records, std::span<const bus::OffsetCommit> offsets, Instant now);
  std::unique_ptr<bus::Storage> storage_;
};

}  // namespace fleetward::simulation
