#include "services/fleetward/listing.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/table.hpp"

namespace fleetward::program {

Column member_column(std::string_view heading, std::string_view member) {
  return {heading, [member](const json::Value& item) { return text_of(item, member); }};
}

Column time_column(std::string_view heading, std::string_view member) {
  return {heading, [member](const json::Value& item) { return time_of(item, member); }};
}

Option limit_option() { return {"limit", "N", "at most so many lines (default: 1000)"}; }

std::string query_of(const Invocation& invocation, const std::vector<std::string_view>& names) {
  std::string query;
  for (const std::string_view name : names) {
    const std::optional<std::string> value = invocation.option(name);
    if (value) query += fmt::format("{}{}={}", query.empty() ? "?" : "&", name, percent_encode(*value));
  }
  return query;
}

ExitCode print_listing(Invocation& invocation, ApiClient& api, const Listing& listing) {
  const Result<std::int64_t> limit = invocation.integer_option("limit", 1000, 1, 100'000);
  if (!limit) return invocation.usage_error(limit.error().message);
  bool truncated = false;
  const auto items = api.list(listing.target, listing.member, static_cast<std::size_t>(*limit), &truncated);
  if (!items) return invocation.fail(items.error());
  if (invocation.wants_json()) {
    invocation.out << json::dump_pretty(json::Value(*items)) << "\n";
  } else {
    std::vector<std::string> headings;
    for (const Column& column : listing.columns) headings.emplace_back(column.heading);
    Table table(headings);
    for (const json::Value& item : *items) {
      std::vector<std::string> cells;
      for (const Column& column : listing.columns) cells.push_back(column.text(item));
      table.add(std::move(cells));
    }
    invocation.out << table.to_text(listing.when_empty);
  }
  if (truncated) invocation.err << fmt::format("fleetward: there is more; --limit {} shows only so much\n", *limit);
  return ExitCode::ok;
}

ExitCode print_object(Invocation& invocation, const json::Value& object, const std::vector<Column>& columns) {
  if (invocation.wants_json()) {
    invocation.out << json::dump_pretty(object) << "\n";
    return ExitCode::ok;
  }
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Column& column : columns) pairs.emplace_back(column.heading, column.text(object));
  invocation.out << to_pairs(pairs);
  return ExitCode::ok;
}

}  // namespace fleetward::program
