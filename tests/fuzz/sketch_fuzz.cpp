// Sketches as they come from other detectors: what is taken is written back the same, merges with itself, and gives
// percentiles in order.
#include <cmath>

#include "detect/sketch.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  const std::string_view bytes = as_text({data, size});
  const auto sketch = detect::Sketch::decode(bytes);
  if (!sketch) return 0;
  expect(sketch->encode() == bytes, "a sketch is written as it is read");
  detect::Sketch twice = *sketch;
  twice.merge(*sketch);
  expect(twice.count() == 2 * sketch->count(), "merging adds");
  if (sketch->is_empty()) return 0;
  double last = sketch->percentile(0).low;
  for (std::uint64_t p = 0; p <= 10'000; p += 500) {
    const detect::Sketch::Range at = sketch->percentile(p);
    expect(at.low <= at.high && at.low >= last, "percentiles rise");
    expect(twice.percentile(p) == at, "twice the same values have the same percentiles");
    last = at.low;
  }
  const detect::Sketch::Range mean = sketch->mean();
  expect(std::isfinite(mean.low) && mean.low >= sketch->percentile(0).low, "the mean is among the values");
  return 0;
}
