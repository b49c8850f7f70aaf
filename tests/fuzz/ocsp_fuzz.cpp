// OCSP: whatever is asked gets an answer of bounded size that openssl's reader takes; whatever is answered is believed
// only when the issuer or its delegate signed it.
#include "fuzz/issuer.hpp"
#include "fuzz/target.hpp"
#include "pki/ocsp.hpp"

namespace fleetward::fuzz {
namespace {

struct World {
  World() {
    crypto::SystemRandom random;
    const pki::Issuer issuing = make_issuer(random);
    pki::LeafRequest request;
    request.common_name = "device";
    request.lifetime = year;
    device = *pki::issue(issuing, crypto::PrivateKey::generate()->public_key(), request, now, random);
    request.purpose = pki::Purpose::responder;
    signer = {*crypto::PrivateKey::generate(), {}, issuing.certificate_pem};
    signer.certificate_pem = *pki::issue(issuing, signer.key.public_key(), request, now, random);
    question = *pki::make_ocsp_request(device, issuing.certificate_pem);
  }
  pki::OcspSigner signer{*crypto::PrivateKey::generate(), {}, {}};
  std::string device;
  Bytes question;
};

pki::CertificateState look_up(const std::string& serial) {
  expect(!serial.empty() && serial.size() < 2 * pki::ocsp_request_bytes_max, "a serial has digits, and not too many");
  return {pki::CertificateState::Kind::revoked, now, pki::RevocationReason::unspecified};
}

// Without the issuer's signature it must not be taken for an answer, whatever it says.
void expect_no_answer(const World& world, ByteView der) {
  const auto state = pki::read_ocsp_answer(der, world.device, world.signer.issuer_pem, now);
  expect(!state, "an answer that nobody signed is refused");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  static const World world;
  const ByteView input(data, size);
  // Also spliced over the end of a good question, which names this world's issuer.
  Bytes spliced = world.question;
  for (std::size_t i = 0; i < std::min(size, spliced.size()); ++i) spliced[spliced.size() - 1 - i] ^= data[i];
  for (const ByteView request : {input, ByteView(spliced)}) {
    const auto answer = pki::answer_ocsp(request, world.signer, look_up, now, std::chrono::minutes(10));
    expect(!answer.der.empty() && answer.der.size() < 16'384, "there is an answer, of bounded size");
    const auto read = pki::read_ocsp_answer(answer.der, world.device, world.signer.issuer_pem, now);
    expect(answer.is_error == (!read && read.error().code == ErrorCode::unavailable),
           "an error is an error, an answer is signed well");
  }
  expect_no_answer(world, input);
  return 0;
}
