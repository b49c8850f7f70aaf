// Walking a report member by member, whatever its encoding: where the walk is (for reasons), depth, repeats.
//
// Internal to this library. JsonWalk and CborWalk add how values of their encoding are read; ReportReader adds the
// rules, once for both. A walk has a Value (a cursor that is read once), and:
//   walk_root(fields, known, unknown)              the members of the whole payload, and nothing behind them
//   walk_object(value, fields, known, unknown)     known(index, value) or unknown(name, value) for each member
//   walk_list(value, element)                      element(value) for each
//   read_kind, read_text, read_integer, read_number, read_presence, skip
// Every one returns false once a reason is set; nothing of the payload is read after that.
//
// A walk belongs to one parser on one thread. The only memory that it keeps is the list of unknown keys of open
// objects.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "core/text.hpp"
#include "report/parser.hpp"

namespace fleetward::report {

struct FieldName {
  std::string_view long_name, short_name;
};
constexpr std::array<FieldName, 0> no_fields{};

enum class ValueKind { null, boolean, number, text, bytes, list, object };

constexpr double exact_integer_max = 9007199254740992.0;  // 2^53

template <std::size_t N>
int index_of([[maybe_unused]] const std::array<FieldName, N>& fields, std::string_view key) {
  // The first character tells nearly all names apart: a comparison is called for little more than the name that it is.
  const auto is = [key](std::string_view name) { return !name.empty() && key.front() == name.front() && key == name; };
  if (key.empty()) return -1;
  for (std::size_t i = 0; i < N; ++i) {
    if (is(fields[i].long_name) || is(fields[i].short_name)) return static_cast<int>(i);
  }
  return -1;
}

// Where the walk is, for reasons: a member's name, or an element's number.
struct PathStep {
  std::string_view name;
  std::size_t index = 0;
};

struct Walk {
  bool refuse(std::string_view what) {
    if (!reason.empty()) return false;
    std::string where;
    for (std::size_t i = 0; i < depth; ++i) {
      if (path[i].name.data() == nullptr) {
        where += fmt::format("[{}]", path[i].index);
      } else {
        where += (where.empty() ? "" : ".") + printable(path[i].name, 64);
      }
    }
    reason = where.empty() ? fmt::format("report {}", what) : fmt::format("{} {}", where, what);
    return false;
  }

  void start() {
    reason.clear();
    keys.clear();
    depth = 0;
  }

  bool enter(PathStep step) {
    if (depth >= static_cast<std::size_t>(depth_max)) return refuse(fmt::format("is nested deeper than {}", depth_max));
    path[depth++] = step;
    return true;
  }
  void leave() { --depth; }

  // One member of an object: known(index) at most once each, unknown() for the others, whose keys are kept.
  template <std::size_t N, class Known, class Unknown>
  bool take_member(std::string_view key, const std::array<FieldName, N>& fields, unsigned& seen, Known known,
                   Unknown unknown) {
    const int which = index_of(fields, key);
    if (which < 0) {
      if (!enter({key})) return false;
      keys.push_back(key);
      if (!unknown()) return false;
    } else {
      if (!enter({fields[static_cast<std::size_t>(which)].long_name})) return false;
      if ((seen & 1U << which) != 0) return refuse("is there twice");
      seen |= 1U << which;
      if (!known(which)) return false;
    }
    leave();
    return true;
  }

  // At the end of an object whose unknown keys begin at `scope`.
  bool refuse_repeats(std::size_t scope) {
    if (keys.size() == scope) return true;
    const auto first = keys.begin() + static_cast<std::ptrdiff_t>(scope);
    if (keys.size() - scope > 1) {
      std::sort(first, keys.end());
      const auto twice = std::adjacent_find(first, keys.end());
      if (twice != keys.end()) return refuse(fmt::format("has the member '{}' twice", printable(*twice, 64)));
    }
    keys.erase(first, keys.end());
    return true;
  }

  // A float that stands for a whole number: agents write counters so.
  bool take_whole(double d, std::int64_t& out) {
    if (!(std::abs(d) <= exact_integer_max) || d != std::floor(d)) return refuse("is not a whole number");
    out = static_cast<std::int64_t>(d);
    return true;
  }
  bool check_range(std::int64_t n, std::int64_t min, std::int64_t max) {
    if (n < min) return refuse(fmt::format("is below {}", min));
    if (n > max) return refuse(fmt::format("is above {}", max));
    return true;
  }

  std::vector<std::string_view> keys;  // of the open objects that no rule knows: looked through for repeats
  std::array<PathStep, depth_max + 2> path;
  std::size_t depth = 0;
  std::string reason;
};

}  // namespace fleetward::report
