// Revocation in process, one core: a CRL of many entries, and OCSP answers; ours, or by OpenSSL's objects.
//
// usage: bench_pki crl ours|openssl ENTRIES FOLDER     a process each, as its peak memory is what is measured
//        bench_pki ocsp SECONDS                        both in turn
// Prints one JSON line. A CRL goes to FOLDER/crl.der, its issuer to FOLDER/issuer.pem, for others to verify.
#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <fstream>
#include <iostream>

#include "peer.hpp"

namespace fleetward::bench {
namespace {

constexpr Instant now{std::chrono::seconds(1'790'000'000)};
constexpr Millis year = std::chrono::hours(24 * 365);

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// "VmRSS" or "VmHWM", the most that it ever was.
std::size_t status_bytes(std::string_view name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size() + 1, nullptr, 10) * 1024;
  }
  return 0;
}

pki::Issuer make_issuer() {
  crypto::SystemRandom random;
  pki::Issuer root{*crypto::PrivateKey::generate(), {}};
  root.certificate_pem = *pki::make_root(root.key, "Root", now, 10 * year, random);
  pki::Issuer issuing{*crypto::PrivateKey::generate(), {}};
  issuing.certificate_pem = *pki::make_issuing(root, issuing.key.public_key(), "Issuing", now, 5 * year, random);
  return issuing;
}

// Serials of 16 bytes, rising, as a store's index gives them; made one by one, so that they take no memory.
void each_entry(std::size_t count, const Add& add) {
  const std::uint64_t step = 0x7FFF'FFFF'FFFF'FFFFULL / (count + 1);
  std::uint64_t low = 0x1234'5678'9ABC'DEF1ULL;
  for (std::size_t i = 1; i <= count; ++i) {
    low = low * 6'364'136'223'846'793'005ULL + 1'442'695'040'888'963'407ULL;
    std::array<char, 33> serial{};
    fmt::format_to_n(serial.data(), 32, "{:016x}{:016x}", i * step, low);
    add({serial.data(), 32}, now - std::chrono::seconds(i));
  }
}

Result<Bytes> our_crl(const pki::Issuer& issuer, std::size_t count) {
  auto writer = pki::CrlWriter::begin(issuer, 1, now, now + year, count);
  if (!writer) return writer.error();
  Status added;
  each_entry(count, [&](std::string_view serial, Instant at) {
    if (added.ok()) added = writer->add(serial, at, pki::RevocationReason::unspecified);
  });
  if (!added) return added.error();
  return std::move(*writer).finish();
}

int crl(bool ours, std::size_t count, const std::string& folder) {
  const pki::Issuer issuer = make_issuer();
  const std::size_t before = status_bytes("VmRSS");
  const double start = cpu_seconds();
  const auto der = ours ? our_crl(issuer, count)
                        : Result<Bytes>(openssl_crl(
                              issuer, [count](const Add& add) { each_entry(count, add); }, now, now + year));
  const double seconds = cpu_seconds() - start;
  if (!der) {
    std::cerr << der.error().message << "\n";
    return 1;
  }
  const std::size_t peak = status_bytes("VmHWM") - before;
  std::ofstream(folder + "/issuer.pem") << issuer.certificate_pem;
  std::ofstream(folder + "/crl.der", std::ios::binary) << as_text(*der);
  std::cout << fmt::format(R"({{"event":"crl","entries":{},"cpu_seconds":{:.3f},"bytes":{},"peak_bytes":{}}})", count,
                           seconds, der->size(), peak)
            << std::endl;
  return 0;
}

template <class Work>
double per_cpu_second(double seconds, const Work& work) {
  constexpr int before_a_look = 64;
  const double start = cpu_seconds();
  std::size_t done = 0;
  while (cpu_seconds() - start < seconds) {
    for (int i = 0; i < before_a_look; ++i) work();
    done += before_a_look;
  }
  return static_cast<double>(done) / (cpu_seconds() - start);
}

int ocsp(double seconds) {
  crypto::SystemRandom random;
  const pki::Issuer issuer = make_issuer();
  pki::OcspSigner signer{*crypto::PrivateKey::generate(), {}, issuer.certificate_pem};
  pki::LeafRequest leaf;
  leaf.purpose = pki::Purpose::responder;
  leaf.common_name = "OCSP";
  leaf.lifetime = year;
  signer.certificate_pem = *pki::issue(issuer, signer.key.public_key(), leaf, now, random);
  leaf.purpose = pki::Purpose::device;
  leaf.common_name = "device";
  const auto device = pki::issue(issuer, crypto::PrivateKey::generate()->public_key(), leaf, now, random);
  const auto request = pki::make_ocsp_request(*device, issuer.certificate_pem);
  const auto responder = pki::OcspResponder::make(signer);
  const OpensslOcsp peer(signer);
  const auto good = [](const std::string&) { return pki::CertificateState{pki::CertificateState::Kind::good, {}, {}}; };
  const auto told =
      pki::read_ocsp_answer(responder->answer(*request, good, now, year).der, *device, issuer.certificate_pem, now);
  if (!told) {
    std::cerr << told.error().message << "\n";
    return 1;
  }
  const auto digest = crypto::sha256(ByteView(*request));
  const double ours = per_cpu_second(seconds, [&] { (void)responder->answer(*request, good, now, year); });
  const double theirs = per_cpu_second(seconds, [&] { (void)peer.answer(*request, now, year); });
  const double bare = per_cpu_second(seconds, [&] { (void)signer.key.sign_digest(digest); });
  std::cout << fmt::format(R"({{"event":"ocsp","ours":{:.0f},"openssl_objects":{:.0f},"signatures_alone":{:.0f}}})",
                           ours, theirs, bare)
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace fleetward::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::size_t number = 0;
  const bool is_crl = words.size() == 4 && words[0] == "crl" && (words[1] == "ours" || words[1] == "openssl");
  const bool is_ocsp = words.size() == 2 && words[0] == "ocsp";
  if (is_crl || is_ocsp) {
    const std::string& text = words[is_crl ? 2 : 1];
    std::from_chars(text.data(), text.data() + text.size(), number);
  }
  if (number == 0) {
    std::cerr << "usage: bench_pki crl ours|openssl ENTRIES FOLDER\n       bench_pki ocsp SECONDS\n";
    return 2;
  }
  return is_crl ? fleetward::bench::crl(words[1] == "ours", number, words[3])
                : fleetward::bench::ocsp(static_cast<double>(number));
}
