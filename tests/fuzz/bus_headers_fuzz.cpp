// The headers of a record as they stand in the bus file: damaged bytes are told, good ones are written back the same.
#include "bus/headers.hpp"
#include "fuzz/target.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  const std::string_view bytes = as_text({data, size});
  const auto headers = bus::Headers::decode(std::string(bytes));
  if (!headers) return 0;
  bus::Headers again;
  for (const bus::Header header : *headers) again.push_back(header);
  fuzz::expect(again.encoded() == bytes, "what was read is written the same");
  return 0;
}
