// Reading DER (X.690) in place, strictly: definite lengths in their shortest form, nothing behind the end. For lists
// that are too long for an object each. Private to pki. Pure; views into the caller's bytes, no memory of its own.
#pragma once

#include <optional>

#include "core/text.hpp"
#include "core/time.hpp"
#include "pki/der.hpp"

namespace fleetward::pki::der {

struct Element {
  std::uint8_t tag = 0;
  ByteView content;
  ByteView whole;  // with tag and length
};

class Reader {
 public:
  explicit Reader(ByteView bytes) : rest_(bytes) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] ByteView rest() const { return rest_; }
  [[nodiscard]] bool next_is(std::uint8_t tag) const { return !rest_.empty() && rest_.front() == tag; }

  // The next element, whatever it is; none when it is malformed (then nothing is taken).
  std::optional<Element> any();
  // Of that tag, else none.
  std::optional<Element> take(std::uint8_t tag);

 private:
  ByteView rest_;
};

// BOOLEAN, INTEGER (its octets in their shortest form, sign included) and Time of RFC 5280 section 4.1.2.5, to the
// second and in UTC; none when they are not so.
std::optional<bool> boolean_of(ByteView content);
bool is_integer(ByteView content);
// OBJECT IDENTIFIER: each number ended, none begun with a zero.
bool is_oid(ByteView content);
std::optional<Instant> time_of(const Element& element);

struct Extension {
  ByteView oid;  // content octets
  bool is_critical = false;
  ByteView value;  // the octet string's
};
std::optional<Extension> take_extension(Reader& list);

}  // namespace fleetward::pki::der
