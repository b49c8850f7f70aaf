// One transaction, waited for: for what runs before or beside the tasks of a process (its start, tests).
#pragma once

#include <functional>
#include <future>
#include <optional>
#include <utility>

#include "store/store.hpp"

namespace fleetward::store {

// What the work returned, or the store's error when it did not commit. Blocks: never from the store's own thread.
template <class T>
Result<T> run_and_wait(Store& store, const std::function<Result<T>(Transaction&)>& work) {
  std::optional<Result<T>> out;
  std::promise<Status> done;
  store.run(
      [&](Transaction& tx) -> Status {
        out = work(tx);
        return *out ? Status() : Status(out->error());
      },
      [&done](const Status& status) { done.set_value(status); });
  if (const Status committed = done.get_future().get(); !committed.ok()) return committed.error();
  return std::move(*out);
}

}  // namespace fleetward::store
