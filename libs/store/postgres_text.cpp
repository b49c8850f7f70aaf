#include "store/postgres_text.hpp"

#include <charconv>
#include <map>

namespace fleetward::store {
namespace {

// pg_type.dat: numbers of built-in types do not change.
constexpr unsigned type_bool = 16;
constexpr unsigned type_bytea = 17;
constexpr unsigned type_int8 = 20;
constexpr unsigned type_int2 = 21;
constexpr unsigned type_int4 = 23;
constexpr unsigned type_float4 = 700;
constexpr unsigned type_float8 = 701;
constexpr unsigned type_numeric = 1700;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string_view cast_of(const Value& value) {
  if (std::holds_alternative<std::int64_t>(value)) return "::bigint";
  if (std::holds_alternative<double>(value)) return "::double precision";
  if (std::holds_alternative<Bytes>(value)) return "::bytea";
  return "::text";
}

Result<std::string> text_of(const Value& value) {
  if (const auto* n = std::get_if<std::int64_t>(&value)) return std::to_string(*n);
  if (const auto* d = std::get_if<double>(&value)) return fmt::format("{}", *d);
  if (const auto* b = std::get_if<Bytes>(&value)) return "\\x" + to_hex(*b);
  const std::string& text = std::get<std::string>(value);
  if (text.find('\0') != std::string::npos)
    return Error(ErrorCode::invalid_argument, "a text for the store holds a NUL");
  return text;
}

// Walks the text once. Our own SQL: literals in single quotes, no comments, no dollar quotes.
class Rewriter {
 public:
  Rewriter(std::string_view sql, const Params& params) : sql_(sql), params_(params) {}

  Result<PostgresStatement> run() {
    while (at_ < sql_.size()) {
      const char c = sql_[at_];
      if (c == '\'' || c == '"') literal(c);
      else if (c == '$' && at_ + 1 < sql_.size() && is_digit(sql_[at_ + 1])) {
        if (const Status done = parameter(); !done) return done.error();
      } else if (is_word(c)) word();
      else other(c);
    }
    out_.may_write = first_ != "SELECT";
    const bool is_list = first_ == "SELECT" || (first_ == "WITH" && selects_);
    if (is_list && !has_limit_) out_.text += fmt::format(" LIMIT {}", rows_max + 1);
    return std::move(out_);
  }

 private:
  void literal(char quote) {
    const std::size_t end = sql_.find(quote, at_ + 1);
    const std::size_t next = end == std::string_view::npos ? sql_.size() : end + 1;
    out_.text += sql_.substr(at_, next - at_);
    at_ = next;
  }

  Status parameter() {
    std::size_t end = at_ + 1;
    while (end < sql_.size() && is_digit(sql_[end])) ++end;
    std::size_t number = 0;
    std::from_chars(sql_.data() + at_ + 1, sql_.data() + end, number);
    at_ = end;
    if (number == 0 || number > params_.size())
      return Error(ErrorCode::internal, "fewer values than parameters: " + std::string(sql_.substr(0, 80)));
    const Value& value = params_[number - 1];
    if (std::holds_alternative<std::monostate>(value)) {
      out_.text += "NULL";
      return {};
    }
    auto [place, is_new] = numbers_.try_emplace(number, numbers_.size() + 1);
    if (is_new) {
      Result<std::string> text = text_of(value);
      if (!text) return text.error();
      out_.values.push_back(std::move(*text));
    }
    out_.text += fmt::format("${}{}", place->second, cast_of(value));
    return {};
  }

  void word() {
    std::size_t end = at_;
    while (end < sql_.size() && is_word(sql_[end])) ++end;
    const std::string_view word = sql_.substr(at_, end - at_);
    if (first_.empty()) first_ = word;
    if (depth_ == 0) {
      has_limit_ |= word == "LIMIT";
      selects_ |= word == "SELECT";
      if (word == "INSERT" || word == "UPDATE" || word == "DELETE") has_limit_ = true;  // behind WITH
    }
    out_.text += word;
    at_ = end;
  }

  void other(char c) {
    if (c == '(') ++depth_;
    if (c == ')') --depth_;
    out_.text += c;
    ++at_;
  }

  std::string_view sql_;
  const Params& params_;
  PostgresStatement out_;
  std::size_t at_ = 0;
  int depth_ = 0;
  std::string_view first_;
  bool selects_ = false;
  bool has_limit_ = false;
  std::map<std::size_t, std::size_t> numbers_;
};

template <class T>
Result<Value> number_of(std::string_view text) {
  T value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size())
    return Error(ErrorCode::internal, "the server sent a number that is none");
  return Value(value);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

}  // namespace

Result<PostgresStatement> to_postgres(std::string_view sql, const Params& params) {
  return Rewriter(sql, params).run();
}

std::string to_postgres_schema(std::string_view sql) {
  std::string text(sql);
  replace_all(text, "INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY");
  replace_all(text, " BLOB ", " BYTEA ");
  return text;
}

Result<Value> from_postgres(unsigned type, std::string_view text) {
  switch (type) {
    case type_bool:
      return Value(std::int64_t{text == "t"});
    case type_int2:
    case type_int4:
    case type_int8:
      return number_of<std::int64_t>(text);
    case type_float4:
    case type_float8:
      return number_of<double>(text);
    case type_numeric:
      return text.find_first_of(".Nn") == std::string_view::npos ? number_of<std::int64_t>(text)
                                                                 : number_of<double>(text);
    case type_bytea: {
      auto bytes = from_hex(text.starts_with("\\x") ? text.substr(2) : text);
      if (!bytes) return Error(ErrorCode::internal, "the server sent bytes in a form that is not hexadecimal");
      return Value(std::move(*bytes));
    }
    default:
      return Value(std::string(text));
  }
}

}  // namespace fleetward::store
