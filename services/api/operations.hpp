// What an operation is: a route, and a handler that runs in one store transaction. Private to the role.
//
// Handlers are plain functions in handlers_*.cpp, each listed in its table there; operations.cpp joins the tables.
#pragma once

#include "aws/routes.hpp"
#include "services/api/api.hpp"

namespace fleetward::api {

struct Call {
  store::Transaction& tx;
  const aws::Arguments& args;
  const auth::Principal& who;
  const ApiConfig& config;
  crypto::Random& random;
  Instant now;

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
  json::Value answer;  // what finish() adds the certificate to
};
using Prepare = Result<Wish> (*)(Call& call);

struct Operation {
  aws::Route route;
  Handler handler = nullptr;
  Prepare prepare = nullptr;  // instead of a handler
};

const std::vector<Operation>& all_operations();

std::vector<Operation> profile_operations();
std::vector<Operation> registry_operations();
std::vector<Operation> certificate_operations();
std::vector<Operation> violation_operations();
std::vector<Operation> v1_operations();

// The answer to a wish, once it is signed.
Result<json::Value> certificate_answer(const ApiConfig& config, const Wish& wish, const std::string& certificate_pem);

// Pages: at most page_max items; a token is what the list was sorted by, and is checked when it comes back.
constexpr std::int64_t page_max = 250;
std::string encode_token(std::string_view cursor);
Result<std::string> decode_token(const std::string& token);
std::int64_t page_size(const Call& call, std::string_view name = "maxResults", std::int64_t other = page_max);

// Seconds since the epoch, as the API's timestamps are.
inline double seconds(Instant t) { return static_cast<double>(to_ms(t)) / 1000.0; }

}  // namespace fleetward::api
