// Opaque page tokens: where the next page of a list begins, bound to the list and its filters. Pure.
//
// A token is not a secret and gives no rights; its check value only sees to it that a token of another list, of other
// filters, or a mistyped one is refused instead of giving a wrong page.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward::aws {

// `scope`: the operation's name and every filter's value.
std::string make_page_token(std::string_view scope, std::string_view cursor);
// The cursor; "" for an empty token (the first page). invalid_argument for all that is not ours.
Result<std::string> read_page_token(std::string_view scope, std::string_view token);

}  // namespace fleetward::aws
