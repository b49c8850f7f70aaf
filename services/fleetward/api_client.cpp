#include "services/fleetward/api_client.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "core/time.hpp"

namespace fleetward::program {
namespace {

constexpr std::string_view token_member = "nextToken";

}  // namespace

Result<std::vector<json::Value>> ApiClient::list(const std::string& target, std::string_view member,
                                                 std::size_t items_max, bool* truncated) {
  std::vector<json::Value> items;
  std::string page = target;
  while (true) {
    Result<json::Value> answer = get(page);
    if (!answer) return answer.error();
    const auto found = answer->find(member);
    if (found == answer->end() || !found->is_array()) {
      return Error(ErrorCode::internal, fmt::format("the answer to {} has no list '{}'", target, member));
    }
    for (json::Value& item : *found) {
      if (items.size() == items_max) break;
      items.push_back(std::move(item));
    }
    const std::string token = text_of(*answer, token_member);
    *truncated = items.size() == items_max && !token.empty();
    if (token.empty() || items.size() == items_max) return items;
    page = fmt::format("{}{}{}={}", target, target.find('?') == std::string::npos ? "?" : "&", token_member,
                       percent_encode(token));
  }
}

std::string text_of(const json::Value& object, std::string_view member) {
  if (!object.is_object()) return {};
  const auto found = object.find(member);
  if (found == object.end() || found->is_null()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return json::dump(*found);
  std::string out;
  for (const json::Value& item : *found) {
    if (!out.empty()) out += ", ";
    out += item.is_string() ? item.get<std::string>() : json::dump(item);
  }
  return out;
}

std::string time_of(const json::Value& object, std::string_view member) {
  if (!object.is_object()) return {};
  const auto found = object.find(member);
  if (found == object.end() || !found->is_number_integer()) return text_of(object, member);
  const auto ms = found->get<std::int64_t>();
  return ms == 0 ? std::string() : to_rfc3339(instant_from_ms(ms));
}

}  // namespace fleetward::program
