#include "store/store.hpp"

namespace fleetward::store {
namespace {

template <class T>
const T& as(const Value& value) {
  const T* typed = std::get_if<T>(&value);
  if (typed == nullptr) std::abort();  // our own SQL has another type than our own code expects
  return *typed;
}

}  // namespace

bool Row::is_null(std::size_t column) const { return std::holds_alternative<std::monostate>(values_.at(column)); }
std::int64_t Row::integer(std::size_t column) const { return as<std::int64_t>(values_.at(column)); }
double Row::number(std::size_t column) const {
  const auto* integer_value = std::get_if<std::int64_t>(&values_.at(column));
  return integer_value != nullptr ? static_cast<double>(*integer_value) : as<double>(values_.at(column));
}
const std::string& Row::text(std::size_t column) const { return as<std::string>(values_.at(column)); }
const Bytes& Row::bytes(std::size_t column) const { return as<Bytes>(values_.at(column)); }
std::string Row::text_or(std::size_t column, std::string_view other) const {
  return is_null(column) ? std::string(other) : text(column);
}
std::int64_t Row::integer_or(std::size_t column, std::int64_t other) const {
  return is_null(column) ? other : integer(column);
}

async::Task<Status> transact(Store& store, async::Scheduler& scheduler, std::function<Status(Transaction&)> work) {
  std::function<void(std::function<void(Status)>)> start = [&store, &work](std::function<void(Status)> done) {
    store.run(work, std::move(done));
  };
  Status status = co_await async::from_callback<Status>(scheduler, start);
  co_return status;
}

}  // namespace fleetward::store
