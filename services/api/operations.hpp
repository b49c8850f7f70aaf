// What an operation is: a route, and a handler that runs in one store transaction. Private to the role.
//
// Handlers are plain functions in handlers_*.cpp, each listed in its table there; operations.cpp joins the tables.
#pragma once

#include "aws/routes.hpp"
#include "fleet/action.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/registry_repository.hpp"
#include "services/api/api.hpp"
#include "services/api/presence.hpp"

namespace fleetward::api {

struct Call {
  store::Transaction& tx;
  const aws::Arguments& args;
  const auth::Principal& who;
  const ApiConfig& config;
  crypto::Random& random;
  const Presence& presence;
  Instant now;
  std::string_view operation;

  [[nodiscard]] std::string text(std::string_view name, std::string_view other = "") const {
    return args.text(name, other);
  }
  [[nodiscard]] std::string arn(std::string_view kind, std::string_view name) const {
    return fleet::arn(config.installation, kind, name);
  }
};

using Handler = Result<json::Value> (*)(Call& call);

// Needs a certificate: `prepare` runs in a transaction and says whose, then it is signed, then `finish` answers with
// it.
struct Wish {
  std::string thing;
  std::string thing_id;
  std::string public_key_pem;
  bool active = true;
  std::string certificate_pem;  // there already: nothing is signed
  json::Value answer;           // what finish() adds the certificate to
};
using Prepare = Result<Wish> (*)(Call& call);

struct Operation {
  aws::Route route;
  Handler handler = nullptr;
  Prepare prepare = nullptr;  // instead of a handler
};

const std::vector<Operation>& all_operations();

std::vector<Operation> profile_operations();
std::vector<Operation> dimension_operations();
std::vector<Operation> registry_operations();
std::vector<Operation> certificate_operations();
std::vector<Operation> authority_operations();
std::vector<Operation> violation_operations();
std::vector<Operation> action_operations();
std::vector<Operation> governor_operations();
std::vector<Operation> gateway_operations();
std::vector<Operation> dead_letter_operations();
std::vector<Operation> v1_operations();

// The answer to a wish, once it is signed.
Result<json::Value> certificate_answer(const ApiConfig& config, const Wish& wish, const std::string& certificate_pem);

// A certificate as lists have it.
json::Value certificate_item(const Call& call, const repository::CertificateRow& row);

// Pages: at most page_max items; a token is what the list was sorted by, bound to the operation and its filters.
constexpr std::int64_t page_max = 250;
std::string encode_token(const Call& call, std::string_view cursor);
Result<std::string> decode_token(const Call& call, std::string_view name = "nextToken");
std::int64_t page_size(const Call& call, std::string_view name = "maxResults", std::int64_t other = page_max);

// Rows are asked for one more than the page holds: the rest says whether there is another page.
template <class Row, class Cursor>
std::optional<std::string> cut_page(const Call& call, std::vector<Row>& rows, std::int64_t limit, Cursor cursor) {
  if (static_cast<std::int64_t>(rows.size()) <= limit) return std::nullopt;
  rows.resize(static_cast<std::size_t>(limit));
  return encode_token(call, cursor(rows.back()));
}

// What a list calls its page: the way of most of the API's lists, that of certificates', and ours.
struct PageMembers {
  std::string_view token, next, size;
  std::int64_t size_usual;
};
constexpr PageMembers by_max_results{"nextToken", "nextToken", "maxResults", page_max};
constexpr PageMembers by_marker{"marker", "nextMarker", "pageSize", page_max};
constexpr PageMembers by_limit{"nextToken", "nextToken", "limit", 100};

// The answer of a list: `rows_after(cursor, limit)` has the rows behind a cursor, in the list's order, `item` what is
// shown of one.
template <class RowsAfter, class Cursor, class Item>
Result<json::Value> list_page(Call& call, const PageMembers& members, std::string_view name, RowsAfter rows_after,
                              Cursor cursor, Item item) {
  const auto after = decode_token(call, members.token);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call, members.size, members.size_usual);
  auto rows = rows_after(*after, limit + 1);
  if (!rows) return rows.error();
  const auto next = cut_page(call, *rows, limit, cursor);
  json::Value items = json::Value::array();
  for (const auto& row : *rows) {
    Result<json::Value> shown = item(row);
    if (!shown) return shown.error();
    items.push_back(std::move(*shown));
  }
  json::Value out = {{std::string(name), std::move(items)}};
  if (next) out[std::string(members.next)] = *next;
  return out;
}

// {"name": "value"} under `member` of a body, by the registry's rules.
constexpr std::size_t attributes_max = 50;
Result<repository::Attributes> attributes_in(const json::Value& object, std::string_view member);

// A person revokes a certificate: an action that is proven like any other. When it is all that a thing connects with,
// it is one against the thing; of several it is one against this certificate alone, and the thing goes on with the
// others. A certificate of no thing is revoked without an action, and none is returned. Again is no error.
Result<std::optional<fleet::Action>> revoke_by_hand(Call& call, const repository::CertificateRow& row,
                                                    const std::string& reason);

std::string new_uuid(crypto::Random& random);  // version 4, RFC 9562

// Seconds since the epoch, as the API's timestamps are.
inline double seconds(Instant t) { return static_cast<double>(to_ms(t)) / 1000.0; }

}  // namespace fleetward::api
