// The relay: alone it publishes the outbox, in order, at least once.
//
// One holds the lease (a row with a generation and an expiry); any role that has the store runs one. A commit wakes it.
// A relay that takes over first reads the table topics back, and does so again every check_every, which is more often
// than they are compacted: where a key's last record is not the newest that the store has said, it writes that again
// (so a forged or replayed one is never what compaction leaves); where the bus has a newer one that is signed (the
// store came from a backup), the store counts on from there, and it is logged. Rows are deleted after the bus has them
// durably, so a crash in between repeats them: readers ignore what is not newer.
//
// Lives on its scheduler. Limits: batch_rows rows at a time.
#pragma once

#include <memory>

#include "access/record_signature.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

struct RelayOptions {
  std::string holder = "relay";  // stable name: the same holder takes its own lease again at once after a crash
  Millis lease{10'000};
  std::int64_t batch_rows = 500;
  Millis check_every{6 * 3'600'000};               // less than tables wait for their compaction
  std::shared_ptr<const access::Signers> signers;  // nullptr: whatever is newer on the bus is believed
};

class OutboxRelay {
 public:
  OutboxRelay(store::Store& store, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics,
              RelayOptions options = {});
  ~OutboxRelay();

  void start();
  // What newer records on the bus are judged by from now on. From another thread.
  void set_signers(std::shared_ptr<const access::Signers> signers);
  // Publishes what is there, then stops. Call from another thread.
  void stop(Millis limit);
  // It holds the lease, has done its taking over, and the last attempt to publish succeeded. Thread-safe.
  [[nodiscard]] bool is_ready() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fleetward::repository
