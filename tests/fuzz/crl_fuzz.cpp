// Revocation lists of others. The input is looked at as a file, and, signed by this world's issuer, as the part of a
// list that a signature covers: what our reader takes, openssl's must take, too, and read the same.
#include "fuzz/issuer.hpp"
#include "fuzz/target.hpp"
#include "pki/crl_view.hpp"
#include "pki/der.hpp"

namespace fleetward::fuzz {
namespace {

struct World {
  crypto::SystemRandom random;
  pki::Issuer issuing = make_issuer(random);
};

Bytes signed_by(const pki::Issuer& issuer, ByteView tbs) {
  Bytes list(tbs.begin(), tbs.end());
  pki::der::put(list, pki::der::ecdsa_with_sha256());
  pki::der::put_bits(list, *issuer.key.sign(tbs));
  return pki::der::wrap(pki::der::sequence, list);
}

void expect_good_refusal(const Error& error) {
  const bool is_its_fault = error.code == ErrorCode::invalid_argument || error.code == ErrorCode::permission_denied ||
                            error.code == ErrorCode::unsupported || error.code == ErrorCode::resource_exhausted;
  expect(is_its_fault, "what is refused is the list's fault: " + error.message);
  expect(is_utf8(error.message), "the reason can be shown");
}

void expect_same(const pki::CrlView& crl, const pki::CrlInfo& reference) {
  expect(crl.this_update() == reference.this_update, "thisUpdate");
  expect(crl.next_update() == reference.next_update, "nextUpdate");
  std::size_t offset = 0, count = 0;
  while (const auto entry = crl.entry_at(offset)) {
    ++count;
    const std::string serial = to_hex(entry->serial);
    const auto known = reference.revoked.find(serial);
    expect(known != reference.revoked.end(), "openssl has the entry, too: " + serial);
    const bool is_sole = crl.unusable() == 0 && reference.revoked.size() == crl.size();
    if (is_sole) expect(known->second == entry->at, "at the same time: " + serial);
  }
  expect(count == crl.size(), "as many entries as were counted");
  expect(count + crl.unusable() >= reference.revoked.size(), "none is missed");
  const std::string& number = crl.number();
  if (!number.empty() && number.size() <= 14)
    expect(std::strtoll(number.c_str(), nullptr, 16) == reference.number, "its number: " + number);
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  static const World world;
  const ByteView input(data, size);
  const auto decoded = pki::decode_crl_pem(input);
  if (!decoded) expect_good_refusal(decoded.error());
  const auto unsigned_one = pki::CrlView::open(input, world.issuing.certificate_pem);
  expect(!unsigned_one, "a list that nobody signed is refused");
  expect_good_refusal(unsigned_one.error());

  const Bytes whole = signed_by(world.issuing, input);
  const auto crl = pki::CrlView::open(whole, world.issuing.certificate_pem);
  if (!crl) {
    expect_good_refusal(crl.error());
    return 0;
  }
  const auto reference = pki::read_crl(whole, world.issuing.certificate_pem);
  expect(reference.ok(), "openssl takes it, too: " + (reference ? "" : reference.error().message));
  expect_same(*crl, *reference);
  return 0;
}
