#include "detect/sketch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "detect/codec.hpp"

namespace fleetward::detect {
namespace {

constexpr std::uint8_t format_version = 1;
constexpr int level_max = 10;  // at 9 all numbers that there are fill fewer than buckets_max
constexpr std::uint64_t count_max = std::uint64_t{1} << 48;  // of what is read: sums of many do not overflow
constexpr std::uint64_t largest_bits = 0x7fef'ffff'ffff'ffff;

unsigned shift_of(int level) { return static_cast<unsigned>(52 - Sketch::mantissa_bits + level); }

// 0 is zero; else the place of the magnitude, counted from 1, with the value's sign.
std::int32_t bucket_of(double value, int level) {
  if (value == 0) return 0;
  const std::uint64_t magnitude = std::bit_cast<std::uint64_t>(std::fabs(value)) >> shift_of(level);
  const auto place = static_cast<std::int32_t>(magnitude) + 1;
  return value > 0 ? place : -place;
}

std::int32_t coarser(std::int32_t bucket) {
  if (bucket == 0) return 0;
  const std::int32_t place = ((std::abs(bucket) - 1) >> 1) + 1;
  return bucket > 0 ? place : -place;
}

std::uint64_t zigzag(std::int64_t v) {
  return static_cast<std::uint64_t>(v) << 1 ^ (v < 0 ? ~std::uint64_t{0} : std::uint64_t{0});
}
std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1 ^ ((v & 1) != 0 ? ~std::uint64_t{0} : std::uint64_t{0}));
}

Error broken(std::string_view what) { return {ErrorCode::corrupted, fmt::format("sketch {}", what)}; }

}  // namespace

bool Sketch::add(double value) {
  if (!std::isfinite(value)) return false;
  value += 0.0;  // there is one zero
  min_ = count_ == 0 ? value : std::min(min_, value);
  max_ = count_ == 0 ? value : std::max(max_, value);
  put(bucket_of(value, level_), 1);
  return true;
}

void Sketch::merge(const Sketch& other) {
  if (other.is_empty()) return;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  while (level_ < other.level_) coarsen();
  for (const auto& [bucket, count] : other.buckets_) {
    std::int32_t own = bucket;  // ours may have become coarser meanwhile
    for (int level = other.level_; level < level_; ++level) own = coarser(own);
    put(own, count);
  }
}

void Sketch::put(std::int32_t bucket, std::uint64_t count) {
  buckets_[bucket] += count;
  count_ += count;
  while (buckets_.size() > buckets_max) coarsen();
}

void Sketch::coarsen() {
  boost::unordered_flat_map<std::int32_t, std::uint64_t> merged;
  for (const auto& [bucket, count] : buckets_) merged[coarser(bucket)] += count;
  buckets_ = std::move(merged);
  ++level_;
}

std::vector<std::pair<std::int32_t, std::uint64_t>> Sketch::sorted() const {
  std::vector<std::pair<std::int32_t, std::uint64_t>> out(buckets_.begin(), buckets_.end());
  std::sort(out.begin(), out.end());
  return out;
}

Sketch::Range Sketch::edges(std::int32_t bucket) const {
  if (bucket == 0) return {0, 0};
  const auto place = static_cast<std::uint64_t>(std::abs(bucket)) - 1;
  const double small = std::bit_cast<double>(place << shift_of(level_));
  const double large = std::bit_cast<double>(std::min(((place + 1) << shift_of(level_)) - 1, largest_bits));
  const Range out = bucket > 0 ? Range{small, large} : Range{-large, -small};
  return {std::clamp(out.low, min_, max_), std::clamp(out.high, min_, max_)};
}

double Sketch::relative_error() const {
  if (level_ <= mantissa_bits) return std::ldexp(1, level_ - mantissa_bits);
  return std::ldexp(1, 1 << (level_ - mantissa_bits)) - 1;
}

Sketch::Range Sketch::percentile(std::uint64_t hundredths) const {
  if (hundredths == 0) return {min_, min_};
  if (hundredths >= 10'000) return {max_, max_};
  // In two parts: the product of count and hundredths need not fit.
  const std::uint64_t part = (count_ % 10'000 * hundredths + 9'999) / 10'000;
  const std::uint64_t rank = std::max<std::uint64_t>(count_ / 10'000 * hundredths + part, 1);
  std::uint64_t passed = 0;
  for (const auto& [bucket, count] : sorted()) {
    passed += count;
    if (passed >= rank) return edges(bucket);
  }
  return {max_, max_};
}

Sketch::Range Sketch::mean() const {
  Range out;
  for (const auto& [bucket, count] : sorted()) {
    const Range at = edges(bucket);
    const double share = static_cast<double>(count) / static_cast<double>(count_);  // first: the sum need not fit
    out.low += at.low * share;
    out.high += at.high * share;
  }
  return {std::clamp(out.low, min_, max_), std::clamp(out.high, min_, max_)};
}

std::string Sketch::encode() const {
  Writer w;
  w.u8(format_version);
  w.u8(static_cast<std::uint8_t>(level_));
  w.u64(std::bit_cast<std::uint64_t>(min_));
  w.u64(std::bit_cast<std::uint64_t>(max_));
  w.varint(buckets_.size());
  std::int64_t last = 0;
  for (const auto& [bucket, count] : sorted()) {
    w.varint(zigzag(bucket - last));
    w.varint(count);
    last = bucket;
  }
  return w.take();
}

Result<Sketch> Sketch::decode(std::string_view bytes) {
  Reader r(bytes);
  if (r.u8() != format_version) return Error(ErrorCode::unsupported, "sketch has an unknown version");
  Sketch s;
  s.level_ = r.u8();
  s.min_ = std::bit_cast<double>(r.u64());
  s.max_ = std::bit_cast<double>(r.u64());
  const std::uint64_t buckets = r.varint();
  if (s.level_ > level_max || buckets > buckets_max) return broken("is larger than any that is made");
  std::int64_t last = 0;
  std::int64_t first = 0;
  for (std::uint64_t i = 0; i < buckets && !r.failed(); ++i) {
    const std::int64_t step = unzigzag(r.varint());
    const std::uint64_t count = r.varint();
    if ((i > 0 && step <= 0) || std::abs(step) > std::int64_t{1} << 32) return broken("has buckets out of order");
    if (count == 0 || count > count_max || s.count_ + count > count_max) return broken("has an impossible count");
    last += step;
    if (last < std::numeric_limits<std::int32_t>::min() || last > std::numeric_limits<std::int32_t>::max()) {
      return broken("has a bucket that no number falls into");
    }
    if (i == 0) first = last;
    s.buckets_.emplace(static_cast<std::int32_t>(last), count);
    s.count_ += count;
  }
  if (!r.finished()) return broken("is not what was written");
  if (s.is_empty()) {
    if (s != Sketch()) return broken("has no values, and yet something of them");
    return s;
  }
  const bool is_sound = std::isfinite(s.min_) && std::isfinite(s.max_) && s.min_ <= s.max_ &&
                        !(s.min_ == 0 && std::signbit(s.min_)) && !(s.max_ == 0 && std::signbit(s.max_)) &&
                        bucket_of(s.min_, s.level_) == first && bucket_of(s.max_, s.level_) == last;
  if (!is_sound) return broken("has bounds that are not in its buckets");
  return s;
}

}  // namespace fleetward::detect
