#include "aws/routes.hpp"

#include <charconv>

#include "core/text.hpp"
#include "fleet/names.hpp"

namespace fleetward::aws {
namespace {

constexpr std::string_view no_such_operation = "there is no such operation";

std::vector<std::string> segments_of(std::string_view path) {
  std::vector<std::string> out;
  for (const std::string_view s : split(path, '/')) out.emplace_back(s);
  return out;
}

bool is_parameter(const std::string& segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}

// Whether some path fits both.
bool overlap(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!is_parameter(a[i]) && !is_parameter(b[i]) && a[i] != b[i]) return false;
  }
  return true;
}

// Of two that overlap: the one with a literal where the other has a parameter, from the left. None: they are alike.
std::optional<bool> is_closer(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (is_parameter(a[i]) != is_parameter(b[i])) return !is_parameter(a[i]);
  }
  return std::nullopt;
}

// "." and ".." may be rewritten on the way by others, and an empty segment may vanish.
bool is_plain(const std::vector<std::string>& segments) {
  return segments.size() > 1 && segments.front().empty() &&
         std::none_of(segments.begin() + 1, segments.end(),
                      [](const std::string& s) { return s.empty() || s == "." || s == ".."; });
}

std::optional<std::int64_t> integer_of(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::optional<Instant> time_of(std::string_view text) {
  const auto rfc = parse_rfc3339(text);
  if (rfc) return *rfc;
  const std::string copy(text);
  char* end = nullptr;
  const double seconds = std::strtod(copy.c_str(), &end);
  if (copy.empty() || *end != '\0' || !(seconds >= 0) || seconds > 253'402'300'799.0) return std::nullopt;
  return instant_from_ms(static_cast<std::int64_t>(seconds * 1000));
}

// Takes members out of a request, collects what is wrong.
class Taker {
 public:
  explicit Taker(Arguments& into) : into_(into) {}

  void take(const Member& m, const std::optional<std::string>& given) {
    if (!given) {
      if (m.required) problems_.push_back(fmt::format("{} is required", m.name));
      return;
    }
    const std::string name(m.name);
    switch (m.kind) {
      case Kind::name:
        if (!fleet::is_valid_name(*given)) return wrong(m, "must be 1 to 128 of [a-zA-Z0-9:_-]");
        into_.texts[name] = *given;
        return;
      case Kind::text:
      case Kind::any:
        if (!is_utf8(*given) || static_cast<std::int64_t>(given->size()) < m.min ||
            static_cast<std::int64_t>(given->size()) > m.max || given->find('\0') != std::string::npos) {
          return wrong(m, fmt::format("must have {} to {} bytes of UTF-8", m.min, m.max));
        }
        if (!m.choices.empty() && !is_choice(m, *given))
          return wrong(m, fmt::format("must be one of {}", fmt::join(split(m.choices, '|'), ", ")));
        into_.texts[name] = *given;
        return;
      case Kind::integer: {
        const auto n = integer_of(*given);
        if (!n || *n < m.min || *n > m.max)
          return wrong(m, fmt::format("must be an integer from {} to {}", m.min, m.max));
        into_.integers[name] = *n;
        return;
      }
      case Kind::boolean:
        if (*given != "true" && *given != "false") return wrong(m, "must be true or false");
        into_.booleans[name] = *given == "true";
        return;
      case Kind::timestamp: {
        const auto t = time_of(*given);
        if (!t) return wrong(m, "must be a time, such as 2026-11-24T08:26:22Z or seconds since the epoch");
        into_.times[name] = *t;
        return;
      }
    }
  }

  void take_json(const Member& m, const json::Value& body) {
    const auto found = body.find(m.name);
    if (found == body.end() || found->is_null()) return take(m, std::nullopt);
    if (m.kind == Kind::any) return;
    // Whole numbers only: 3.0 and 1e2 are not how a client sends them.
    if (m.kind == Kind::integer && !found->is_number_integer()) return wrong(m, "has the wrong type");
    if (m.kind == Kind::boolean                                  ? !found->is_boolean()
        : (m.kind == Kind::integer || m.kind == Kind::timestamp) ? !found->is_number()
                                                                 : !found->is_string()) {
      return wrong(m, "has the wrong type");
    }
    take(m, found->is_string() ? found->get<std::string>() : json::dump(*found));
  }

  void refuse(std::string_view name, std::string_view what) {
    problems_.push_back(fmt::format("{} {}", printable(name, 64), what));
  }

  [[nodiscard]] Status finish() const {
    if (problems_.empty()) return {};
    return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(problems_, "; ")));
  }

 private:
  static bool is_choice(const Member& m, std::string_view given) {
    const auto words = split(m.choices, '|');
    return std::find(words.begin(), words.end(), given) != words.end();
  }
  void wrong(const Member& m, std::string_view what) { problems_.push_back(fmt::format("{} {}", m.name, what)); }
  Arguments& into_;
  std::vector<std::string> problems_;
};

bool knows(const Route& route, In in, std::string_view name) {
  return std::any_of(route.members.begin(), route.members.end(),
                     [&](const Member& m) { return m.in == in && m.name == name; });
}

// What nobody asked for, and what is given twice (then two readers could see two values).
void refuse_unknown(const Route& route, const std::vector<std::pair<std::string, std::string>>& query,
                    const json::Value& body, Taker& taker) {
  std::set<std::string_view> seen;
  for (const auto& [name, value] : query) {
    if (!knows(route, In::query, name)) taker.refuse(name, "is not a parameter of this operation");
    else if (!seen.insert(name).second) taker.refuse(name, "is given twice");
  }
  for (const auto& [name, value] : body.items()) {
    if (!knows(route, In::body, name)) taker.refuse(name, "is not supported by this operation");
  }
}

std::string_view exception_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found:
      return "ResourceNotFoundException";
    case ErrorCode::already_exists:
      return "ResourceAlreadyExistsException";
    case ErrorCode::conflict:
      return "VersionConflictException";
    case ErrorCode::invalid_argument:
    case ErrorCode::failed_precondition:
      return "InvalidRequestException";
    case ErrorCode::unsupported:
      return "UnknownOperationException";
    case ErrorCode::resource_exhausted:
      return "LimitExceededException";
    case ErrorCode::throttled:
      return "ThrottlingException";
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::cancelled:
      return "ServiceUnavailableException";
    case ErrorCode::permission_denied:
      return "AccessDeniedException";
    case ErrorCode::unauthenticated:
      return "InvalidSignatureException";
    default:
      return "InternalFailureException";
  }
}

int aws_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::failed_precondition:
    case ErrorCode::throttled:
      return 400;
    case ErrorCode::unsupported:
      return 404;
    case ErrorCode::resource_exhausted:
      return 410;
    case ErrorCode::unauthenticated:
      return 403;
    case ErrorCode::deadline_exceeded:
      return 503;
    default:
      return http_status(code);
  }
}

http::Response answer_of(const Error& error, const std::string& request_id, std::string_view type, int status) {
  return {
      status,
      {{"Content-Type", "application/json"}, {"x-amzn-ErrorType", std::string(type)}, {"x-amzn-RequestId", request_id}},
      json::dump({{"message", error.message}, {"__type", type}})};
}

}  // namespace

std::string Arguments::text(std::string_view name, std::string_view other) const {
  const auto found = texts.find(name);
  return found == texts.end() ? std::string(other) : found->second;
}
std::int64_t Arguments::integer(std::string_view name, std::int64_t other) const {
  const auto found = integers.find(name);
  return found == integers.end() ? other : found->second;
}
bool Arguments::boolean(std::string_view name, bool other) const {
  const auto found = booleans.find(name);
  return found == booleans.end() ? other : found->second;
}

RouteTable::RouteTable(std::vector<Route> routes) : routes_(std::move(routes)) {
  for (const Route& r : routes_) {
    Compiled next{segments_of(r.path)};
    for (std::size_t i = 0; i < compiled_.size(); ++i) {
      const auto& other = compiled_[i].segments;
      if (routes_[i].method == r.method && overlap(other, next.segments) && !is_closer(other, next.segments))
        std::abort();
    }
    compiled_.push_back(std::move(next));
  }
}

Result<RouteTable::Match> RouteTable::find(const http::Request& request) const {
  const auto segments = segments_of(request.path());
  const Error none(ErrorCode::not_found, std::string(no_such_operation));
  if (!is_plain(segments)) return none;
  bool path_exists = false;
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const auto& wanted = compiled_[i].segments;
    bool same = wanted.size() == segments.size();
    for (std::size_t k = 0; same && k < wanted.size(); ++k) same = is_parameter(wanted[k]) || wanted[k] == segments[k];
    if (!same) continue;
    path_exists = true;
    if (routes_[i].method != request.method) continue;
    if (!best || is_closer(wanted, compiled_[*best].segments).value_or(false)) best = i;
  }
  if (!best) {
    if (!path_exists) return none;
    return Error(ErrorCode::unsupported, fmt::format("{} is not possible here", printable(request.method, 16)));
  }
  Match match{&routes_[*best], {}};
  const auto& wanted = compiled_[*best].segments;
  for (std::size_t k = 0; k < wanted.size(); ++k) {
    if (!is_parameter(wanted[k])) continue;
    auto value = percent_decode(segments[k]);
    if (!value) return none;
    match.path[wanted[k].substr(1, wanted[k].size() - 2)] = std::move(*value);
  }
  return match;
}

Result<Arguments> read_arguments(const RouteTable::Match& match, const http::Request& request) {
  Arguments arguments;
  Taker taker(arguments);
  const auto query = request.query_pairs();
  if (!query) return query.error();
  if (!trim(request.body).empty()) {
    auto body = json::parse(request.body, {.bytes_max = body_bytes_max});
    if (!body) return body.error().with_context("body");
    if (!body->is_object()) return Error(ErrorCode::invalid_argument, "the body is not a JSON object");
    arguments.body = std::move(*body);
  }
  refuse_unknown(*match.route, *query, arguments.body, taker);
  for (const Member& m : match.route->members) {
    if (m.in == In::body) {
      taker.take_json(m, arguments.body);
      continue;
    }
    std::optional<std::string> given;
    if (m.in == In::path) given = match.path.at(std::string(m.name));
    if (m.in == In::header && request.header(m.name) != nullptr) given = *request.header(m.name);
    for (const auto& [name, value] : *query) {
      if (m.in == In::query && name == m.name) given = value;
    }
    taker.take(m, given);
  }
  if (const Status good = taker.finish(); !good) return good.error();
  return arguments;
}

http::Response aws_error(const Error& error, const std::string& request_id, const Route& route) {
  for (const OwnError& own : route.errors) {
    if (own.code == error.code) return answer_of(error, request_id, own.exception, own.status);
  }
  return aws_error(error, request_id, route.state_error);
}

http::Response aws_error(const Error& error, const std::string& request_id, std::string_view state_error) {
  std::string_view type = exception_of(error.code);
  // Not ResourceNotFoundException: who asks for a resource of a kind that is not here would take it for deleted.
  if (error.code == ErrorCode::not_found && error.message == no_such_operation) type = "UnknownOperationException";
  int status = aws_status(error.code);
  if (error.code == ErrorCode::failed_precondition) {
    type = state_error;
    if (state_error == "CertificateStateException") status = 406;
    if (state_error == "DeleteConflictException") status = 409;
  }
  if (error.code == ErrorCode::unauthenticated && error.message.starts_with("Missing"))
    type = "MissingAuthenticationTokenException";
  if (error.code == ErrorCode::unauthenticated && error.message.starts_with("The security token"))
    type = "UnrecognizedClientException";
  return answer_of(error, request_id, type, status);
}

http::Response problem(const Error& error, const std::string& request_id) {
  const int status = error.code == ErrorCode::unsupported ? 405 : http_status(error.code);
  return {status,
          {{"Content-Type", "application/problem+json"}, {"x-request-id", request_id}},
          json::dump({{"type", "about:blank"},
                      {"title", http::reason_phrase(status)},
                      {"status", status},
                      {"detail", error.message},
                      {"code", to_string(error.code)},
                      {"requestId", request_id}})};
}

}  // namespace fleetward::aws
