// What every fuzz target shares. A target is one file with LLVMFuzzerTestOneInput(): it ends the process when something
// that must always hold does not, and otherwise says nothing.
//
// Linked with libFuzzer (preset `fuzz`, ./dev fuzz) it searches; linked with corpus_test.cpp it is a test of the suite
// that runs the inputs in corpus/NAME/.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "core/text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fleetward::fuzz {

// `words` say what was expected, with what was seen.
inline void expect(bool holds, std::string_view words) {
  if (holds) return;
  std::fputs(fmt::format("\nfuzz: does not hold: {}\n", words).c_str(), stderr);
  std::abort();
}

// Takes small numbers and lines off the front of an input.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(as_text({data, size})) {}

  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return static_cast<std::uint8_t>(c);
  }
  // Up to the line's end, which is taken as well.
  std::string_view line() {
    const auto end = rest_.find('\n');
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return taken;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// The input in pieces whose lengths come from `seed`: what comes over a socket has no edges of its own.
class Pieces {
 public:
  Pieces(std::string_view bytes, std::uint8_t seed) : rest_(bytes), random_(seed * 2654435761U + 1) {}
  // Empty at the end.
  std::string_view next() {
    random_ = random_ * 1664525U + 1013904223U;
    const std::size_t wanted = 1 + (random_ >> 24) % (random_ % 3 == 0 ? 200 : 5);
    const std::string_view piece = rest_.substr(0, wanted);
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
  std::uint32_t random_;
};

}  // namespace fleetward::fuzz
