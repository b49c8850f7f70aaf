// What the listing and showing commands share: columns over JSON members, and the two ways of printing.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/command.hpp"

namespace fleetward::program {

struct Column {
  std::string_view heading;
  std::function<std::string(const json::Value&)> text;
};

Column member_column(std::string_view heading, std::string_view member);
Column time_column(std::string_view heading, std::string_view member);

struct Listing {
  std::string target;       // path and query
  std::string_view member;  // of the answer: the list
  std::vector<Column> columns;
  std::string_view when_empty;
};

// --limit (default 1000), every page; a table, or the items as one JSON array. Says on err when the list was cut.
ExitCode print_listing(Invocation& invocation, ApiClient& api, const Listing& listing);
Option limit_option();

// The query of those options that were given, as ?option=value&…; `names` are option and query parameter alike.
std::string query_of(const Invocation& invocation, const std::vector<std::string_view>& names);

// One object: pairs of heading and text, or pretty JSON.
ExitCode print_object(Invocation& invocation, const json::Value& object, const std::vector<Column>& columns);

}  // namespace fleetward::program
