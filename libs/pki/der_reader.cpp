#include "pki/der_reader.hpp"

namespace fleetward::pki::der {
namespace {

constexpr std::uint8_t boolean_tag = 0x01;

// Two digits at `at`, or -1.
int two_digits(ByteView text, std::size_t at) {
  const auto is_digit = [](std::uint8_t c) { return c >= '0' && c <= '9'; };
  if (!is_digit(text[at]) || !is_digit(text[at + 1])) return -1;
  return (text[at] - '0') * 10 + (text[at + 1] - '0');
}

}  // namespace

std::optional<Element> Reader::any() {
  if (rest_.size() < 2 || (rest_[0] & 0x1F) == 0x1F) return std::nullopt;  // no tag of ours has more octets
  std::size_t length = rest_[1];
  std::size_t header = 2;
  if (length >= 0x80) {
    const std::size_t octets = length & 0x7F;
    if (octets == 0 || octets > 4 || rest_.size() < 2 + octets) return std::nullopt;
    length = 0;
    for (std::size_t i = 0; i < octets; ++i) length = length << 8 | rest_[2 + i];
    header += octets;
    const bool is_shortest = length >= 0x80 && rest_[2] != 0;
    if (!is_shortest) return std::nullopt;
  }
  if (rest_.size() - header < length) return std::nullopt;
  const Element element{rest_[0], rest_.subspan(header, length), rest_.first(header + length)};
  rest_ = rest_.subspan(header + length);
  return element;
}

std::optional<Element> Reader::take(std::uint8_t tag) { return next_is(tag) ? any() : std::nullopt; }

std::optional<bool> boolean_of(ByteView content) {
  if (content.size() != 1 || (content[0] != 0x00 && content[0] != 0xFF)) return std::nullopt;
  return content[0] == 0xFF;
}

bool is_integer(ByteView content) {
  if (content.empty()) return false;
  if (content.size() == 1) return true;
  const bool is_padded = (content[0] == 0x00 && content[1] < 0x80) || (content[0] == 0xFF && content[1] >= 0x80);
  return !is_padded;
}

bool is_oid(ByteView content) {
  bool is_begin = true;
  for (const std::uint8_t octet : content) {
    if (is_begin && octet == 0x80) return false;
    is_begin = octet < 0x80;
  }
  return is_begin && !content.empty();
}

std::optional<Instant> time_of(const Element& element) {
  const bool is_short = element.tag == utc_time;
  const ByteView text = element.content;
  if (!is_short && element.tag != generalized_time) return std::nullopt;
  if (text.size() != (is_short ? 13U : 15U) || text.back() != 'Z') return std::nullopt;
  int parts[7] = {};
  const std::size_t count = is_short ? 6 : 7;
  for (std::size_t i = 0; i < count; ++i) {
    parts[i] = two_digits(text, 2 * i);
    if (parts[i] < 0) return std::nullopt;
  }
  const int year = is_short ? parts[0] + (parts[0] >= 50 ? 1900 : 2000) : parts[0] * 100 + parts[1];
  const int* rest = parts + (is_short ? 1 : 2);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(rest[0])),
                                         std::chrono::day(static_cast<unsigned>(rest[1]))};
  if (!date.ok() || rest[2] > 23 || rest[3] > 59 || rest[4] > 59) return std::nullopt;
  return std::chrono::time_point_cast<Millis>(std::chrono::sys_days(date) + std::chrono::hours(rest[2]) +
                                              std::chrono::minutes(rest[3]) + std::chrono::seconds(rest[4]));
}

std::optional<Extension> take_extension(Reader& list) {
  const auto whole = list.take(sequence);
  if (!whole) return std::nullopt;
  Reader r(whole->content);
  Extension extension;
  const auto oid = r.take(oid_tag);
  if (!oid || !is_oid(oid->content)) return std::nullopt;
  extension.oid = oid->content;
  if (const auto critical = r.take(boolean_tag)) {
    const auto is_critical = boolean_of(critical->content);
    if (!is_critical || !*is_critical) return std::nullopt;  // the default is not written (X.690 section 11.5)
    extension.is_critical = true;
  }
  const auto value = r.take(octet_string);
  if (!value || !r.at_end()) return std::nullopt;
  extension.value = value->content;
  return extension;
}

}  // namespace fleetward::pki::der
