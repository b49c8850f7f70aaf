// The one table of operations: for each its name, method, path, right, and the members that are checked before its
// handler sees them. Routing is on the raw path, so an ARN in a segment stays one segment; a literal segment wins over
// a parameter. What an operation does not know is refused: a member that is left out silently could be the one that
// mattered. Pure. Limits: body_bytes_max, each member's own.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "auth/credentials.hpp"
#include "http/message.hpp"

namespace fleetward::aws {

inline constexpr std::size_t body_bytes_max = 1 << 20;

enum class In { path, query, header, body };
enum class Kind {
  text,     // min and max are bytes
  name,     // 1 to 128 of [a-zA-Z0-9:_-]
  integer,  // min and max are the value's
  boolean,
  timestamp,  // query: RFC 3339 or seconds; body: seconds
  any,        // the handler looks at it
};

struct Member {
  std::string_view name;  // of the value in the call; for a header the header's
  In in = In::body;
  Kind kind = Kind::text;
  bool required = false;
  std::int64_t min = 0;
  std::int64_t max = 4096;
  std::string_view choices = {};  // "A|B|C": one of them
};

// What an operation calls an error of its handler, where that differs from what the code is called everywhere.
struct OwnError {
  ErrorCode code;
  std::string_view exception;
  int status = 400;
};

struct Route {
  std::string_view operation;
  std::string_view method;
  std::string_view path;  // /things/{thingName}
  auth::Right right = auth::Right::read;
  std::vector<Member> members;
  std::size_t id = 0;  // the owner's: which handler
  // What failed_precondition is called here: CertificateStateException, DeleteConflictException, …
  std::string_view state_error = "InvalidRequestException";
  std::vector<OwnError> errors = {};
};

// The checked members of one request, by name. Absent ones are not there.
struct Arguments {
  std::map<std::string, std::string, std::less<>> texts;
  std::map<std::string, std::int64_t, std::less<>> integers;
  std::map<std::string, bool, std::less<>> booleans;
  std::map<std::string, Instant, std::less<>> times;
  json::Value body = json::Value::object();

  [[nodiscard]] std::string text(std::string_view name, std::string_view other = "") const;
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t other) const;
  [[nodiscard]] bool boolean(std::string_view name, bool other) const;
};

class RouteTable {
 public:
  // Two routes that no request could tell apart are a bug and end the process.
  explicit RouteTable(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;
    std::map<std::string, std::string> path;
  };
  // not_found: no such path; unsupported: the path is there, not with this method.
  [[nodiscard]] Result<Match> find(const http::Request& request) const;
  [[nodiscard]] const std::vector<Route>& routes() const { return routes_; }

 private:
  struct Compiled {
    std::vector<std::string> segments;  // "{name}" for a parameter
  };
  std::vector<Route> routes_;
  std::vector<Compiled> compiled_;
};

// All problems at once, as invalid_argument.
Result<Arguments> read_arguments(const RouteTable::Match& match, const http::Request& request);

// Errors as rest-json clients know them (reference section 5.2), and as problem details (RFC 9457) for /v1.
http::Response aws_error(const Error& error, const std::string& request_id,
                         std::string_view state_error = "InvalidRequestException");
// Of the route's handler: by its own names first.
http::Response aws_error(const Error& error, const std::string& request_id, const Route& route);
http::Response problem(const Error& error, const std::string& request_id);

}  // namespace fleetward::aws
