// A record's JSON as the value that it is of.
#pragma once

#include "json/json.hpp"

namespace fleetward::detect {

template <class T>
Result<T> read(std::string_view value, Result<T> (*from_json)(const json::Value&)) {
  const auto parsed = json::parse(value);
  if (!parsed) return parsed.error();
  return from_json(*parsed);
}

}  // namespace fleetward::detect
