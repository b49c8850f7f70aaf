#include "detect/sketch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace fleetward::detect {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;
using Values = std::vector<double>;

Sketch sketch_of(const Values& values) {
  Sketch s;
  for (const double v : values) EXPECT_TRUE(s.add(v));
  return s;
}

struct Distribution {
  std::string_view name;
  double (*draw)(std::mt19937_64& random);
};

const Distribution distributions[] = {
    {"uniform", [](std::mt19937_64& r) { return std::uniform_real_distribution<double>(100, 5'000)(r); }},
    {"small counts", [](std::mt19937_64& r) { return double(std::poisson_distribution<int>(3)(r)); }},
    {"heavy tail", [](std::mt19937_64& r) { return std::lognormal_distribution<double>(8, 2)(r); }},
    {"over twenty decades",
     [](std::mt19937_64& r) { return std::pow(10, std::uniform_real_distribution<double>(-5, 15)(r)); }},
    {"two kinds", [](std::mt19937_64& r) { return r() % 10 == 0 ? 1e9 + double(r() % 1000) : double(r() % 100); }},
    {"of both signs", [](std::mt19937_64& r) { return std::normal_distribution<double>(0, 30)(r); }},
    {"all the same", [](std::mt19937_64&) { return 1234.5; }},
};

Values draw(const Distribution& d, std::size_t count) {
  std::mt19937_64 random(7);
  Values out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(d.draw(random));
  return out;
}

TEST(SketchTest, APercentileIsWithinTheStatedErrorOfTheExactOne) {
  for (const Distribution& d : distributions) {
    for (const std::size_t count : {1U, 10U, 999U, 20'000U}) {
      Values values = draw(d, count);
      const Sketch s = sketch_of(values);
      std::sort(values.begin(), values.end());
      for (const std::uint64_t p : {0U, 1U, 10U, 100U, 1000U, 5000U, 9000U, 9900U, 9990U, 9999U, 10'000U}) {
        const auto rank = static_cast<std::size_t>(std::ceil(double(p) / 10'000 * double(count) - 1e-9));
        const double exact = values[std::max<std::size_t>(rank, 1) - 1];
        const Sketch::Range at = s.percentile(p);
        EXPECT_THAT(exact, AllOf(Ge(at.low), Le(at.high))) << d.name << " " << count << " p" << double(p) / 100;
        const double smaller = std::min(std::fabs(at.low), std::fabs(at.high));
        EXPECT_LE(at.high - at.low, smaller * s.relative_error()) << d.name << " " << count << " p" << double(p) / 100;
      }
    }
  }
}

TEST(SketchTest, TheMeanIsWithinTheStatedErrorToo) {
  for (const Distribution& d : distributions) {
    const Values values = draw(d, 5'000);
    const Sketch s = sketch_of(values);
    long double sum = 0;
    long double magnitudes = 0;
    for (const double v : values) {
      sum += v;
      magnitudes += std::fabs(v);
    }
    const auto exact = static_cast<double>(sum / 5'000);
    const auto slack = static_cast<double>(magnitudes / 5'000) * 1e-12;
    EXPECT_THAT(exact, AllOf(Ge(s.mean().low - slack), Le(s.mean().high + slack))) << d.name;
    EXPECT_LE(s.mean().high - s.mean().low, static_cast<double>(magnitudes / 5'000) * s.relative_error() + slack)
        << d.name;
  }
}

TEST(SketchTest, TheErrorIsUnderOnePercentUntilTheBucketsAreFull) {
  Sketch s;
  double v = 1;
  for (; v < 250; v *= 1.0009) s.add(v);
  EXPECT_EQ(s.relative_error(), 1.0 / 128);
  for (; v < 1e5; v *= 1.0009) s.add(v);
  EXPECT_EQ(s.relative_error(), 1.0 / 32) << "17 octaves of 128 buckets are too many, and of 64";
}

TEST(SketchTest, SmallWholeNumbersAreExact) {
  const Sketch s = sketch_of({0, 1, 2, 3, 17, 18, 200, 255});
  EXPECT_EQ(std::floor(s.percentile(5000).high), 3);
  EXPECT_EQ(std::floor(s.percentile(8000).high), 200);
}

TEST(SketchTest, HowTheValuesAreSpreadOverSketchesDoesNotMatter) {
  for (const Distribution& d : distributions) {
    const Values values = draw(d, 8'000);
    const Sketch whole = sketch_of(values);
    for (const std::size_t parts : {2U, 4U, 16U, 1000U}) {
      std::vector<Sketch> sketches(parts);
      std::mt19937_64 random(parts);
      for (const double v : values) sketches[random() % parts].add(v);
      Sketch forwards;
      Sketch backwards;
      for (std::size_t i = 0; i < parts; ++i) {
        forwards.merge(sketches[i]);
        backwards.merge(sketches[parts - 1 - i]);
      }
      // In pairs, and pairs of these, as a tree.
      while (sketches.size() > 1) {
        std::vector<Sketch> halves((sketches.size() + 1) / 2);
        for (std::size_t i = 0; i < sketches.size(); ++i) halves[i / 2].merge(sketches[i]);
        sketches = std::move(halves);
      }
      for (const Sketch* merged : {&forwards, &backwards, &sketches[0]}) {
        EXPECT_EQ(*merged, whole) << d.name << " in " << parts;
        EXPECT_EQ(merged->encode(), whole.encode()) << d.name << " in " << parts;
      }
    }
  }
}

TEST(SketchTest, EveryNumberHasABucketAndWhatIsNoneIsRefused) {
  Sketch s;
  EXPECT_FALSE(s.add(std::nan("")));
  EXPECT_FALSE(s.add(INFINITY));
  EXPECT_FALSE(s.add(-INFINITY));
  EXPECT_EQ(s, Sketch());
  const double largest = std::numeric_limits<double>::max();
  for (const double v : {largest, -largest, std::numeric_limits<double>::denorm_min(), 0.0, -0.0, 1.0}) {
    EXPECT_TRUE(s.add(v));
  }
  EXPECT_EQ(s.percentile(0).low, -largest);
  EXPECT_EQ(s.percentile(10'000).high, largest);
  EXPECT_EQ(s.percentile(5000), (Sketch::Range{0, 0}));
  EXPECT_TRUE(std::isfinite(s.mean().low) && std::isfinite(s.mean().high));
  Sketch all;
  for (int exponent = -1074; exponent < 1024; ++exponent) {
    for (const double m : {1.0, 1.25, 1.5, 1.75}) {
      all.add(std::ldexp(m, exponent));
      all.add(-std::ldexp(m, exponent));
    }
  }
  EXPECT_LE(all.encode().size(), 20 * Sketch::buckets_max);
  const auto again = Sketch::decode(all.encode());
  ASSERT_TRUE(again.ok()) << again.error().message;
  EXPECT_EQ(*again, all);
}

TEST(SketchTest, ItIsReadBackAsItWasAndNothingElseIsTaken) {
  for (const Distribution& d : distributions) {
    const Sketch s = sketch_of(draw(d, 3'000));
    const std::string bytes = s.encode();
    const auto again = Sketch::decode(bytes);
    ASSERT_TRUE(again.ok()) << d.name << again.error().message;
    EXPECT_EQ(*again, s);
    for (std::size_t cut = 0; cut < bytes.size(); cut += 1 + cut / 8) {
      EXPECT_FALSE(Sketch::decode(bytes.substr(0, cut)).ok()) << d.name << " cut to " << cut;
    }
    EXPECT_FALSE(Sketch::decode(bytes + '\0').ok());
    std::string newer = bytes;
    newer[0] = 2;
    EXPECT_EQ(Sketch::decode(newer).error().code, ErrorCode::unsupported);
  }
  EXPECT_EQ(*Sketch::decode(Sketch().encode()), Sketch());
  std::string lying = sketch_of({1, 2}).encode();
  lying[9] ^= 1;  // the exponent of the smallest value
  EXPECT_FALSE(Sketch::decode(lying).ok()) << "its smallest value is not in its first bucket";
}

}  // namespace
}  // namespace fleetward::detect
