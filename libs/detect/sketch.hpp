// What is known of many values without keeping them: percentiles and the mean, within a stated relative error,
// mergeable.
//
// A value falls into a bucket by its sign, its exponent and the first bits of its mantissa, straight from its
// IEEE 754 form: no logarithm, so no CPU and no libm gives another one. Merging adds counts. Zero has a bucket of its
// own; negative values mirror positive ones; smallest and largest value are kept exactly. Holds at most buckets_max
// buckets: when there would be more, all buckets merge with their neighbours, pairwise, and the error about doubles.
// How often that happens follows from the values alone, so any order and any grouping of merges gives the same sketch.
//
// Pure; belongs to one thread.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace fleetward::detect {

class Sketch {
 public:
  static constexpr int mantissa_bits = 7;  // a bucket is less than 0.8 % wide, at first
  static constexpr std::size_t buckets_max = 1024;

  // Where a value lies that is known by its bucket.
  struct Range {
    double low = 0;
    double high = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };

  // False for what is not a number: nothing has been added.
  bool add(double value);
  void merge(const Sketch& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] bool is_empty() const { return count_ == 0; }
  // How wide a bucket is at most, relative to its smaller edge (of subnormal numbers nothing is promised).
  [[nodiscard]] double relative_error() const;
  // The value of the nearest rank, `hundredths` of a percent from below; 0 and 10'000 are exact. Not of an empty one.
  [[nodiscard]] Range percentile(std::uint64_t hundredths) const;
  [[nodiscard]] Range mean() const;

  // Version 1: the same sketch has the same bytes. What is read back is checked whole.
  [[nodiscard]] std::string encode() const;
  static Result<Sketch> decode(std::string_view bytes);

  friend bool operator==(const Sketch&, const Sketch&) = default;

 private:
  void put(std::int32_t bucket, std::uint64_t count);
  void coarsen();
  [[nodiscard]] std::vector<std::pair<std::int32_t, std::uint64_t>> sorted() const;
  [[nodiscard]] Range edges(std::int32_t bucket) const;

  int level_ = 0;  // how often buckets have been merged pairwise
  std::uint64_t count_ = 0;
  double min_ = 0;
  double max_ = 0;
  boost::unordered_flat_map<std::int32_t, std::uint64_t> buckets_;
};

}  // namespace fleetward::detect
