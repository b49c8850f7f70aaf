// Runs a fuzz target over its corpus: real examples, and inputs that once broke something.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "fuzz/target.hpp"

namespace fleetward::fuzz {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void run(std::string_view bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

TEST(Corpus, EveryInputPasses) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(FLEETWARD_FUZZ_CORPUS)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_FALSE(files.empty()) << FLEETWARD_FUZZ_CORPUS;
  run({});
  for (const fs::path& file : files) {
    std::fputs((file.filename().string() + "\n").c_str(), stderr);  // the last one said is the one that ended us
    run(bytes_of(file));
  }
}

// A search in small that every run of the suite does: cut short, and with a byte changed.
TEST(Corpus, NeighboursOfEveryInputPass) {
  constexpr std::size_t changes_max = 200;  // of one input
  for (const auto& entry : fs::directory_iterator(FLEETWARD_FUZZ_CORPUS)) {
    std::string bytes = bytes_of(entry.path());
    const std::size_t step = bytes.size() / changes_max + 1;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      run(std::string_view(bytes).substr(0, at));
      const char was = std::exchange(bytes[at], static_cast<char>(bytes[at] ^ (1 << at % 8)));
      run(bytes);
      bytes[at] = was;
    }
  }
}

}  // namespace
}  // namespace fleetward::fuzz
