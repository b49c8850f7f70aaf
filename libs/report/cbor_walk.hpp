// Walking CBOR (RFC 8949), definite and indefinite lengths. Internal to this library.
//
// Taken is what JSON can say: maps with text keys, arrays, text, whole numbers, floats that are finite, booleans, null;
// byte strings only where no rule asks for a value. Refused, with the path: tags (but self-described CBOR, 55799, in
// front of all), undefined and other simple values, text that is not UTF-8 (each chunk by itself, section 3.2.3), NaN
// and infinities. Lengths are held against what is left of the payload before anything is read.
#pragma once

#include "report/walk.hpp"

namespace fleetward::report {

struct CborWalk : Walk {
  // The head of a data item that has been read; its content comes next in the payload.
  struct Value {
    std::uint8_t major = 0;
    std::uint8_t info = 0;  // low five bits of the initial byte
    std::uint64_t argument = 0;
  };

  // The walk reads a copy, so that texts stay good after the payload has gone. Bounded by payload_bytes_max.
  void load(ByteView payload);

  template <std::size_t N, class Known, class Unknown>
  bool walk_root(const std::array<FieldName, N>& fields, Known known, Unknown unknown) {
    Value root;
    if (!open_root(root)) return false;
    if (!walk_object(root, fields, known, unknown)) return false;
    return at == bytes.size() || refuse("has bytes after its end");
  }

  template <std::size_t N, class Known, class Unknown>
  bool walk_object(Value& value, const std::array<FieldName, N>& fields, Known known, Unknown unknown) {
    if (!is_major(value, major_map, "is not an object")) return false;
    unsigned seen = 0;
    const std::size_t scope = keys.size();
    for (std::uint64_t n = 0;; ++n) {
      bool more = false;
      if (!has_more(value, n, more)) return false;
      if (!more) return refuse_repeats(scope);
      std::string_view key;
      if (!read_key(key)) return false;
      const auto with_value = [&](auto take) {
        Value member;
        return next(member) && take(member);
      };
      const bool taken = take_member(
          key, fields, seen, [&](int which) { return with_value([&](Value& v) { return known(which, v); }); },
          [&] { return with_value([&](Value& v) { return unknown(key, v); }); });
      if (!taken) return false;
    }
  }

  template <class Element>
  bool walk_list(Value& value, Element take_element) {
    if (!is_major(value, major_array, "is not a list")) return false;
    for (std::uint64_t n = 0;; ++n) {
      bool more = false;
      if (!has_more(value, n, more)) return false;
      if (!more) return true;
      Value element;
      if (!enter({{}, static_cast<std::size_t>(n)}) || !next(element) || !take_element(element)) return false;
      leave();
    }
  }

  bool read_kind(Value& value, ValueKind& out);
  // Null counts as not there: `present` says so and the value is done with.
  bool read_presence(Value& value, bool& present);
  bool skip(Value& value);
  bool read_text(Value& value, std::string_view& out);
  bool read_integer(Value& value, std::int64_t min, std::int64_t max, std::int64_t& out);
  // A number and what is wrong with it as a custom metric's value.
  bool read_number(Value& value, double& out, std::string_view& problem);

 private:
  static constexpr std::uint8_t major_unsigned = 0, major_negative = 1, major_bytes = 2, major_text = 3,
                                major_array = 4, major_map = 5, major_tag = 6, major_simple = 7;
  static constexpr std::uint8_t indefinite = 31;  // as info: a length that is not told, or (major 7) the break

  bool refuse_syntax() { return refuse("is not well-formed CBOR"); }
  bool open_root(Value& root);
  bool next(Value& out);  // the next head; a break is none
  // Of a list or map of which `n` items have been read: whether another one follows.
  bool has_more(const Value& value, std::uint64_t n, bool& more);
  bool is_major(const Value& value, std::uint8_t major, std::string_view otherwise);
  bool read_key(std::string_view& out);
  bool read_string(const Value& value, std::string_view& out);  // text or bytes
  bool take(std::uint64_t n, std::string_view& out);
  bool read_float(const Value& value, double& out);

  std::string bytes;
  std::size_t at = 0;
  std::string joined;  // texts that came in chunks; never grows past what load() reserved, so views into it stay good
};

}  // namespace fleetward::report
