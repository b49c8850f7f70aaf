#include "services/api/operations.hpp"

#include "aws/page_token.hpp"

namespace fleetward::api {

const std::vector<Operation>& all_operations() {
  static const std::vector<Operation> all = [] {
    std::vector<Operation> joined;
    for (auto* table : {&profile_operations, &dimension_operations, &registry_operations, &certificate_operations,
                        &authority_operations, &violation_operations, &action_operations, &governor_operations,
                        &gateway_operations, &dead_letter_operations, &v1_operations}) {
      for (Operation& o : table()) {
        o.route.id = joined.size();
        joined.push_back(std::move(o));
      }
    }
    return joined;
  }();
  return all;
}

namespace {

// The operation and every filter: a token of another list, or of other filters, would give a wrong page.
std::string scope_of(const Call& call) {
  std::string scope(call.operation);
  for (const auto& [name, value] : call.args.texts) {
    if (name != "nextToken" && name != "marker") scope += fmt::format("|{}={}", name, percent_encode(value));
  }
  for (const auto& [name, value] : call.args.booleans) scope += fmt::format("|{}={}", name, value);
  for (const auto& [name, value] : call.args.times) scope += fmt::format("|{}={}", name, to_ms(value));
  return scope;
}

}  // namespace

std::string encode_token(const Call& call, std::string_view cursor) {
  return aws::make_page_token(scope_of(call), cursor);
}

Result<std::string> decode_token(const Call& call, std::string_view name) {
  return aws::read_page_token(scope_of(call), call.text(name));
}

std::int64_t page_size(const Call& call, std::string_view name, std::int64_t other) {
  return call.args.integer(name, other);
}

std::string new_uuid(crypto::Random& random) {
  Bytes b = random.bytes(16);
  b[6] = static_cast<std::uint8_t>((b[6] & 0x0F) | 0x40);  // version 4, RFC 9562
  b[8] = static_cast<std::uint8_t>((b[8] & 0x3F) | 0x80);
  const std::string h = to_hex(b);
  return fmt::format("{}-{}-{}-{}-{}", h.substr(0, 8), h.substr(8, 4), h.substr(12, 4), h.substr(16, 4), h.substr(20));
}

}  // namespace fleetward::api
