#include "core/error.hpp"

#include <array>
#include <cstddef>

namespace fleetward {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  bool retryable;
  int status;
};

constexpr std::array table{
    Row{ErrorCode::invalid_argument, "invalid_argument", false, 400},
    Row{ErrorCode::not_found, "not_found", false, 404},
    Row{ErrorCode::already_exists, "already_exists", false, 409},
    Row{ErrorCode::conflict, "conflict", true, 409},
    Row{ErrorCode::failed_precondition, "failed_precondition", false, 409},
    Row{ErrorCode::permission_denied, "permission_denied", false, 403},
    Row{ErrorCode::unauthenticated, "unauthenticated", false, 401},
    Row{ErrorCode::resource_exhausted, "resource_exhausted", false, 413},
    Row{ErrorCode::throttled, "throttled", true, 429},
    Row{ErrorCode::unavailable, "unavailable", true, 503},
    Row{ErrorCode::deadline_exceeded, "deadline_exceeded", true, 504},
    Row{ErrorCode::fenced, "fenced", false, 409},
    Row{ErrorCode::corrupted, "corrupted", false, 500},
    Row{ErrorCode::cancelled, "cancelled", false, 503},
    Row{ErrorCode::unsupported, "unsupported", false, 501},
    Row{ErrorCode::internal, "internal", false, 500},
};

constexpr bool rows_are_in_enum_order() {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (static_cast<std::size_t>(table[i].code) != i) return false;
  }
  return table.size() == static_cast<std::size_t>(ErrorCode::internal) + 1;
}
static_assert(rows_are_in_enum_order());

const Row& row(ErrorCode code) { return table[static_cast<std::size_t>(code)]; }

}  // namespace

std::string_view to_string(ErrorCode code) { return row(code).name; }
bool is_retryable(ErrorCode code) { return row(code).retryable; }
int http_status(ErrorCode code) { return row(code).status; }

Error Error::with_context(std::string_view what) const {
  std::string text(what);
  text += ": ";
  text += message;
  return Error(code, std::move(text));
}

std::string to_string(const Error& error) {
  std::string text(to_string(error.code));
  text += ": ";
  text += error.message;
  return text;
}

}  // namespace fleetward
