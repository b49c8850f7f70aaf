#include "aws/page_token.hpp"

#include "core/text.hpp"
#include "crypto/digest.hpp"

namespace fleetward::aws {
namespace {

constexpr std::size_t check_letters = 16;
constexpr std::size_t token_bytes_max = 2048;

std::string check_of(std::string_view scope, std::string_view cursor) {
  return crypto::id_from("page-token", scope, cursor).substr(0, check_letters);
}

// RFC 4648 section 5 without padding, read back by way of the padded form.
Result<Bytes> from_base64url(std::string_view text) {
  std::string padded(text);
  for (char& c : padded) {
    if (c == '+' || c == '/') return Error(ErrorCode::invalid_argument, "not base64url");
    if (c == '-') c = '+';
    else if (c == '_') c = '/';
  }
  while (padded.size() % 4 != 0) padded += '=';
  return from_base64(padded);
}

}  // namespace

std::string make_page_token(std::string_view scope, std::string_view cursor) {
  const std::string text = check_of(scope, cursor) + std::string(cursor);
  return to_base64url(as_bytes(text));
}

Result<std::string> read_page_token(std::string_view scope, std::string_view token) {
  if (token.empty()) return std::string();
  const Error bad(ErrorCode::invalid_argument, "the page token is not one of this list: ask for the first page again");
  if (token.size() > token_bytes_max) return bad;
  const auto bytes = from_base64url(token);
  if (!bytes || bytes->size() < check_letters) return bad;
  const std::string_view text = as_text(ByteView(*bytes));
  const std::string cursor(text.substr(check_letters));
  if (text.substr(0, check_letters) != check_of(scope, cursor)) return bad;
  return cursor;
}

}  // namespace fleetward::aws
