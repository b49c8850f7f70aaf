#include "core/time.hpp"

#include <fmt/format.h>

#include <charconv>

namespace fleetward {
namespace {

// Reads exactly `digits` decimal digits at `pos`.
std::optional<int> number_at(std::string_view text, std::size_t pos, std::size_t digits) {
  if (pos + digits > text.size()) return std::nullopt;
  int value = 0;
  for (std::size_t i = pos; i < pos + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

struct Fraction {
  int ms = 0;
  std::size_t length = 0;  // with the dot
};

std::optional<Fraction> fraction_at(std::string_view text, std::size_t pos) {
  Fraction f;
  if (pos >= text.size() || text[pos] != '.') return f;
  int scale = 100;
  std::size_t i = pos + 1;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    f.ms += (text[i] - '0') * scale;
    scale /= 10;
  }
  f.length = i - pos;
  if (f.length < 2 || f.length > 10) return std::nullopt;
  return f;
}

std::optional<std::chrono::minutes> offset_at(std::string_view text, std::size_t pos) {
  if (text.substr(pos) == "Z" || text.substr(pos) == "z") return std::chrono::minutes(0);
  if (text.size() != pos + 6 || text[pos + 3] != ':' || (text[pos] != '+' && text[pos] != '-')) return std::nullopt;
  const auto hours = number_at(text, pos + 1, 2);
  const auto minutes = number_at(text, pos + 4, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const std::chrono::minutes total(*hours * 60 + *minutes);
  return text[pos] == '-' ? -total : total;
}

}  // namespace

std::string to_rfc3339(Instant t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(t - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

Result<Instant> parse_rfc3339(std::string_view text) {
  const Error bad(ErrorCode::invalid_argument, "not an RFC 3339 time such as 2026-11-24T08:26:22Z");
  const auto year = number_at(text, 0, 4);
  const auto month = number_at(text, 5, 2);
  const auto day = number_at(text, 8, 2);
  const auto hour = number_at(text, 11, 2);
  const auto minute = number_at(text, 14, 2);
  const auto second = number_at(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return bad;
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't' && text[10] != ' ')) return bad;
  if (text[13] != ':' || text[16] != ':' || *hour > 23 || *minute > 59 || *second > 60) return bad;
  const std::chrono::year_month_day date(std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return bad;
  const auto fraction = fraction_at(text, 19);
  if (!fraction) return bad;
  if (19 + fraction->length >= text.size()) return bad;
  const auto offset = offset_at(text, 19 + fraction->length);
  if (!offset) return bad;
  const auto days = std::chrono::sys_days(date);
  return Instant(std::chrono::time_point_cast<Millis>(days)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second) + Millis(fraction->ms) - *offset;
}

std::string to_human(Millis duration) {
  const std::int64_t ms = duration.count();
  if (ms < 0) return "-" + to_human(-duration);
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 60'000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1000.0);
  const std::int64_t s = ms / 1000;
  if (s < 3600) return s % 60 == 0 ? fmt::format("{} min", s / 60) : fmt::format("{} min {} s", s / 60, s % 60);
  if (s < 86'400) {
    return s % 3600 < 60 ? fmt::format("{} h", s / 3600) : fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
  }
  return s % 86'400 < 3600 ? fmt::format("{} d", s / 86'400) : fmt::format("{} d {} h", s / 86'400, s % 86'400 / 3600);
}

}  // namespace fleetward
