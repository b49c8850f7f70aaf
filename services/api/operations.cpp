#include "services/api/operations.hpp"

namespace fleetward::api {

const std::vector<Operation>& all_operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> joined;
    for (auto* table :
         {&profile_operations, &registry_operations, &certificate_operations, &violation_operations, &v1_operations}) {
      for (Operation& o : table()) {
        o.route.id = joined.size();
        joined.push_back(std::move(o));
      }
    }
    return joined;
  }();
  return all;
}

std::string encode_token(std::string_view cursor) { return to_hex(as_bytes(cursor)); }

Result<std::string> decode_token(const std::string& token) {
  const auto bytes = from_hex(token);
  if (!bytes || !is_utf8(as_text(*bytes))) return Error(ErrorCode::invalid_argument, "nextToken is not one of ours");
  return std::string(as_text(*bytes));
}

std::int64_t page_size(const Call& call, std::string_view name, std::int64_t other) {
  return call.args.integer(name, other);
}

}  // namespace fleetward::api
