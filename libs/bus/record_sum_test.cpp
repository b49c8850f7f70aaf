#include "bus/record_sum.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace fleetward::bus {
namespace {

constexpr std::string_view long_value =
    "a value of a record, longer than the steps of sixteen bytes that it is summed in";

std::int64_t sum_of(std::string_view key, std::optional<std::string_view> value, std::string_view headers) {
  return record_sum(partition_seed("devices", 3), 7, 1'700'000'000'000, key, value, headers);
}

TEST(RecordSum, IsPartOfTheFormat) {
  // Otherwise a file that is there would be taken for damaged.
  EXPECT_EQ(partition_seed("devices", 3), 10'979'048'072'400'351'842U);
  EXPECT_EQ(sum_of("cam-1", "{\"a\":1}", "kind"), -1'836'690'757'415'698'013);
  EXPECT_EQ(sum_of("cam-1", std::nullopt, "kind"), -2'636'823'719'658'299'830);
  EXPECT_EQ(sum_of("cam-1", long_value, "kind"), 1'959'266'956'961'399'640);
}

TEST(RecordSum, TellsEveryFlippedBit) {
  const std::string value(long_value);
  const std::int64_t whole = sum_of("k", value, "h");
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string other = value;
    other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(sum_of("k", other, "h"), whole) << "bit " << bit;
  }
}

TEST(RecordSum, TellsTheFieldsAndThePlaceApart) {
  const std::uint64_t seed = partition_seed("devices", 0);
  const std::set<std::int64_t> sums = {sum_of("ab", "c", "d"),
                                       sum_of("a", "bc", "d"),
                                       sum_of("ab", "", "cd"),
                                       sum_of("ab", "cd", ""),
                                       sum_of("ab", {}, "cd"),
                                       record_sum(seed, 0, 0, "", "", ""),
                                       record_sum(seed, 1, 0, "", "", ""),
                                       record_sum(seed, 0, 1, "", "", ""),
                                       record_sum(seed, 0, 0, "", std::nullopt, ""),
                                       record_sum(partition_seed("devices", 1), 0, 0, "", "", ""),
                                       record_sum(partition_seed("device", 0), 0, 0, "", "", "")};
  EXPECT_EQ(sums.size(), 11U);
}

}  // namespace
}  // namespace fleetward::bus
