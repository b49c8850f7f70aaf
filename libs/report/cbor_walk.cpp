#include "report/cbor_walk.hpp"

#include <bit>

#include "report/custom_value.hpp"

namespace fleetward::report {
namespace {

constexpr std::string_view self_described = "\xd9\xd9\xf7";  // tag 55799, RFC 8949 section 3.4.6
constexpr std::uint8_t info_false = 20, info_true = 21, info_null = 22, info_half = 25, info_single = 26,
                       info_double = 27;

// IEEE 754 half precision, as RFC 8949 appendix D reads it.
double half_to_double(std::uint64_t half) {
  const int exponent = static_cast<int>(half >> 10 & 0x1f);
  const double mantissa = static_cast<double>(half & 0x3ff);
  double value = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  if (exponent == 31) value = mantissa == 0 ? HUGE_VAL : std::nan("");
  return (half & 0x8000) != 0 ? -value : value;
}

bool is_float(std::uint8_t info) { return info >= info_half && info <= info_double; }

}  // namespace

void CborWalk::load(ByteView payload) {
  bytes.assign(as_text(payload));
  joined.clear();
  joined.reserve(payload.size());
}

bool CborWalk::open_root(Value& root) {
  at = bytes.starts_with(self_described) ? self_described.size() : 0;
  joined.clear();
  return next(root) && is_major(root, major_map, "is not a CBOR map");
}

bool CborWalk::take(std::uint64_t n, std::string_view& out) {
  if (n > bytes.size() - at) return refuse("is cut short");
  out = std::string_view(bytes).substr(at, static_cast<std::size_t>(n));
  at += static_cast<std::size_t>(n);
  return true;
}

bool CborWalk::next(Value& out) {
  std::string_view head;
  if (!take(1, head)) return false;
  const auto initial = static_cast<std::uint8_t>(head[0]);
  out = {static_cast<std::uint8_t>(initial >> 5), static_cast<std::uint8_t>(initial & 0x1f), 0};
  if (out.info < 24) {
    out.argument = out.info;
    return true;
  }
  if (out.info < 28) {
    std::string_view big_endian;
    if (!take(1U << (out.info - 24), big_endian)) return false;
    for (const char c : big_endian) out.argument = out.argument << 8 | static_cast<std::uint8_t>(c);
    // Simple values below 32 have one form only (section 3.3).
    return out.major != major_simple || out.info != 24 || out.argument >= 32 || refuse_syntax();
  }
  const bool may_be_indefinite = out.major >= major_bytes && out.major <= major_map;
  return (out.info == indefinite && may_be_indefinite) || refuse_syntax();
}

bool CborWalk::has_more(const Value& value, std::uint64_t n, bool& more) {
  if (value.info != indefinite) {
    more = n < value.argument;
    return true;
  }
  if (at >= bytes.size()) return refuse("is cut short");
  more = static_cast<std::uint8_t>(bytes[at]) != 0xff;
  if (!more) ++at;
  return true;
}

bool CborWalk::is_major(const Value& value, std::uint8_t major, std::string_view otherwise) {
  if (value.major == major_tag) return refuse(fmt::format("has the CBOR tag {}; none is taken", value.argument));
  return value.major == major || refuse(otherwise);
}

bool CborWalk::read_key(std::string_view& out) {
  Value key;
  return next(key) && is_major(key, major_text, "has a key that is not text") && read_string(key, out);
}

bool CborWalk::read_string(const Value& value, std::string_view& out) {
  const bool is_text = value.major == major_text;
  if (value.info != indefinite) {
    return take(value.argument, out) && (!is_text || is_utf8(out) || refuse("is not UTF-8"));
  }
  const std::size_t first = joined.size();
  for (;;) {
    bool more = false;
    if (!has_more(value, 0, more)) return false;
    if (!more) break;
    Value chunk;
    std::string_view part;
    if (!next(chunk)) return false;
    if (chunk.major != value.major || chunk.info == indefinite) return refuse_syntax();
    if (!read_string(chunk, part)) return false;
    joined += part;
  }
  out = std::string_view(joined).substr(first);
  return true;
}

bool CborWalk::read_kind(Value& value, ValueKind& out) {
  switch (value.major) {
    case major_unsigned:
    case major_negative:
      out = ValueKind::number;
      return true;
    case major_bytes:
      out = ValueKind::bytes;
      return true;
    case major_text:
      out = ValueKind::text;
      return true;
    case major_array:
      out = ValueKind::list;
      return true;
    case major_map:
      out = ValueKind::object;
      return true;
    case major_tag:
      return is_major(value, major_simple, "");
    default:
      break;
  }
  if (is_float(value.info)) out = ValueKind::number;
  else if (value.info == info_null) out = ValueKind::null;
  else if (value.info == info_false || value.info == info_true) out = ValueKind::boolean;
  else return refuse("is a CBOR simple value other than true, false and null");
  return true;
}

bool CborWalk::read_presence(Value& value, bool& present) {
  ValueKind kind{};
  if (!read_kind(value, kind)) return false;
  present = kind != ValueKind::null;
  return true;
}

bool CborWalk::skip(Value& value) {
  ValueKind kind{};
  if (!read_kind(value, kind)) return false;
  std::string_view text;
  double number = 0;
  switch (kind) {
    case ValueKind::object:
      return walk_object(
          value, no_fields, [](int, Value&) { return true; }, [this](std::string_view, Value& v) { return skip(v); });
    case ValueKind::list:
      return walk_list(value, [this](Value& element) { return skip(element); });
    case ValueKind::text:
    case ValueKind::bytes:
      return read_string(value, text);
    case ValueKind::number:
      return value.major != major_simple || read_float(value, number);
    case ValueKind::boolean:
    case ValueKind::null:
      return true;
  }
  return refuse_syntax();
}

bool CborWalk::read_text(Value& value, std::string_view& out) {
  return is_major(value, major_text, "is not a string") && read_string(value, out);
}

bool CborWalk::read_float(const Value& value, double& out) {
  if (value.info == info_half) out = half_to_double(value.argument);
  if (value.info == info_single) out = std::bit_cast<float>(static_cast<std::uint32_t>(value.argument));
  if (value.info == info_double) out = std::bit_cast<double>(value.argument);
  return std::isfinite(out) || refuse("is not a finite number");
}

bool CborWalk::read_integer(Value& value, std::int64_t min, std::int64_t max, std::int64_t& out) {
  ValueKind kind{};
  if (!read_kind(value, kind)) return false;
  if (kind != ValueKind::number) return refuse("is not a number");
  if (value.major == major_simple) {
    double d = 0;
    if (!read_float(value, d) || !take_whole(d, out)) return false;
    return check_range(out, min, max);
  }
  const bool is_negative = value.major == major_negative;
  if (value.argument > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return refuse(is_negative ? fmt::format("is below {}", min) : fmt::format("is above {}", max));
  }
  out = static_cast<std::int64_t>(value.argument);
  if (is_negative) out = -1 - out;
  return check_range(out, min, max);
}

bool CborWalk::read_number(Value& value, double& out, std::string_view& problem) {
  // Digits are counted in the shortest text that says the same in the precision in which it was sent.
  std::array<char, 64> text{};
  char* end = text.data();
  if (value.major == major_simple) {
    if (!read_float(value, out)) return false;
    end =
        value.info == info_double ? fmt::format_to(end, "{}", out) : fmt::format_to(end, "{}", static_cast<float>(out));
  } else {
    const bool is_negative = value.major == major_negative;
    if (is_negative && value.argument > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return refuse("is a number out of range");  // it fits no integer, and readers have wrapped it
    }
    out = is_negative ? static_cast<double>(-1 - static_cast<std::int64_t>(value.argument))
                      : static_cast<double>(value.argument);
    end = fmt::format_to(end, "{}", value.argument);
  }
  problem = number_problem({text.data(), static_cast<std::size_t>(end - text.data())});
  return true;
}

}  // namespace fleetward::report
