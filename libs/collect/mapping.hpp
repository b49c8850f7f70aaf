// A mapping in configuration: which fields of somebody's JSON messages are which metrics. It makes a Device Defender
// report of a message, so that nothing behind it knows where it came from.
//
//   report_id: /sequence            # may be left out
//   metrics:
//     - {name: "aws:all-bytes-out", path: /net/tx, type: count}
//     - {name: "aws:listening-tcp-ports", path: /sockets/*/port, type: ports}
//     - {name: cpu_temperature, path: /sensors/0/celsius, type: number, required: true}
//
// Types: count (a whole number, not negative), number, numbers, strings, ports, addresses. A field that is missing or
// null, or a * that leads to nothing, leaves its metric out, unless it is required. Pure, immutable. Limit: metrics_max
// metrics.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "collect/pointer.hpp"

namespace fleetward::collect {

class Mapping {
 public:
  static constexpr std::size_t metrics_max = 200;

  // invalid_argument lists every problem.
  static Result<Mapping> from_json(const json::Value& value);

  // The report. invalid_argument: a field is not what the mapping says, or none of its fields is there.
  // `report_id` is used where the message has none of its own.
  [[nodiscard]] Result<json::Value> apply(const json::Value& message, std::int64_t report_id) const;

  enum class Type { count, number, numbers, strings, ports, addresses };

 private:
  struct Metric {
    std::string name;
    Pointer path;
    Type type = Type::number;
    bool required = false;
  };
  static Status read_metric(const json::Value& value, const std::string& where, Mapping& mapping);

  std::optional<Pointer> report_id_;
  std::vector<Metric> metrics_;
};

}  // namespace fleetward::collect
