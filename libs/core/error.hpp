// The one error type of the project: a code that callers act on, and a message for people.
//
// Messages say what was wrong and what to do; they never hold a secret. Values, not exceptions: exceptions of
// third-party libraries are caught in the adapter that owns the library.
#pragma once

#include <string>
#include <string_view>

namespace fleetward {

enum class ErrorCode {
  invalid_argument,  // the caller's input is wrong; the same call fails again
  not_found,
  already_exists,
  conflict,             // a version or state that changed meanwhile; read again, then retry
  failed_precondition,  // not in a state that allows this; a person must do something first
  permission_denied,
  unauthenticated,
  resource_exhausted,  // one of our limits was reached
  throttled,           // slow down, then retry
  unavailable,         // the other side is not there now; retry
  deadline_exceeded,
  fenced,     // a newer owner exists; the caller must stop acting as owner
  corrupted,  // stored bytes are not what was written
  cancelled,  // we are stopping
  unsupported,
  internal,  // a fault of ours
};

std::string_view to_string(ErrorCode code);

// Whether the same call may succeed later without anything else being changed.
bool is_retryable(ErrorCode code);

// HTTP status by which the code is answered (RFC 9110).
int http_status(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;

  Error() = default;
  Error(ErrorCode c, std::string m) : code(c), message(std::move(m)) {}

  // The same error with words in front that say what was being done: "read config: no such file".
  [[nodiscard]] Error with_context(std::string_view what) const;

  friend bool operator==(const Error&, const Error&) = default;
};

std::string to_string(const Error& error);

}  // namespace fleetward
