// Signatures of records and the list of who may sign: what is read is written the same, and nobody's signature is good
// by accident. The first line is a signature's header, the rest a signers.json.
#include "access/record_signature.hpp"
#include "fleet/topics.hpp"
#include "fuzz/target.hpp"

namespace fleetward {
namespace {

void try_header(std::string_view header, const access::Signers& signers) {
  const access::SignedContent content{fleet::topic::access, "dev1", "7", "{}"};
  fuzz::expect(signers.check(content, header) != access::Verdict::good, "a signature that nobody made is not good");
  const auto parsed = access::parse_signature(header);
  if (!parsed) return;
  fuzz::expect(access::to_text(*parsed) == header, "a signature has one way to be written");
}

void try_list(std::string_view text, std::string_view header) {
  const auto value = json::parse(text);
  if (!value) return;
  const auto signers = access::Signers::from_json(*value);
  if (!signers) return;
  fuzz::expect(signers->all().size() <= access::signers_max, "a limit");
  const auto again = access::Signers::from_json(signers->to_json());
  fuzz::expect(again.ok() && again->to_json() == signers->to_json(), "what was read is written the same");
  for (const access::Signer& s : signers->all()) fuzz::expect(s.id == access::key_id_of(s.key), "an id is its key's");
  try_header(header, *signers);
}

const access::Signers& some_signers() {
  static const access::Signers signers = [] {
    access::Signers made;
    const auto key = crypto::PrivateKey::generate();
    fuzz::expect(key.ok() && made.add("responder", key->public_key()).ok(), "a key");
    return made;
  }();
  return signers;
}

}  // namespace
}  // namespace fleetward

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  fuzz::Input input(data, size);
  const std::string_view header = input.line();
  try_header(header, some_signers());
  try_list(input.rest(), header);
  return 0;
}
