#include "services/collector/thing_book.hpp"

#include <algorithm>

#include "repository/registry_repository.hpp"

namespace fleetward::collector {
namespace {

using Ids = std::vector<std::pair<std::string, std::string>>;

constexpr Millis known_for{30'000};
constexpr Millis unknown_for{2'000};  // a thing that was just made is soon found

}  // namespace

async::Task<Status> ThingBook::look_up(std::vector<std::string> names) {
  const auto now = scheduler_.steady_now();
  if (entries_.size() > names_max) entries_.clear();
  std::erase_if(names, [&](const std::string& name) {
    const auto at = entries_.find(name);
    return at != entries_.end() && now < at->second.until;
  });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.empty()) co_return Status();
  std::function<Result<Ids>(store::Transaction&)> work = [&names](store::Transaction& tx) -> Result<Ids> {
    Ids ids;
    for (const std::string& name : names) {
      const auto thing = repository::find_thing(tx, name);
      if (!thing) return thing.error();
      ids.emplace_back(name, *thing ? (**thing).id : "");
    }
    return ids;
  };
  const Result<Ids> ids = co_await store::transact<Ids>(store_, scheduler_, work);
  if (!ids) co_return ids.error();
  for (const auto& [name, id] : *ids) entries_[name] = {id, now + (id.empty() ? unknown_for : known_for)};
  co_return Status();
}

std::string ThingBook::id_of(const std::string& name) const {
  const auto at = entries_.find(name);
  return at == entries_.end() ? "" : at->second.id;
}

}  // namespace fleetward::collector
