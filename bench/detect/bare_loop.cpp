#include "bench/detect/bare_loop.hpp"

#include <cstdlib>

namespace fleetward::bench {

BareLoop::BareLoop(std::size_t devices) : states_(devices) {
  names_.reserve(devices);
  for (std::size_t i = 0; i < devices; ++i) names_.push_back(device_name(i));
  for (std::size_t i = 0; i < devices; ++i) index_.emplace(names_[i], static_cast<std::uint32_t>(i));
}

const report::Report& BareLoop::parse(std::string_view report) {
  const auto parsed = parser_.parse(as_bytes(report), customs_);
  if (!parsed) std::abort();
  return **parsed;
}

void BareLoop::apply(std::string_view device, std::string_view report) {
  const auto found = index_.find(device);
  if (found == index_.end()) std::abort();
  State& state = states_[found->second];
  const report::Report& r = parse(report);
  const auto out = static_cast<float>(r.bytes_out.value_or(0));
  for (std::size_t b = 0; b < 20; ++b) {
    const float value = out + static_cast<float>(b);
    state.words[b] = state.words[b] * 0.9F + value * 0.1F;
    if (value > 1e12F) state.words[20 + b] += 1;
  }
}

}  // namespace fleetward::bench
