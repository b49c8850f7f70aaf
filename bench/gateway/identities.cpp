#include "identities.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "pki/certificate.hpp"

namespace fleetward::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::hours lifetime{24 * 30};

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Status write_text(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  return file ? Status() : Status(Error(ErrorCode::unavailable, path.string() + ": cannot be written"));
}

class Maker {
 public:
  static Result<Maker> make() {
    Maker m;
    const auto root_key = crypto::PrivateKey::generate();
    const auto issuing_key = crypto::PrivateKey::generate();
    if (!root_key || !issuing_key) return Error(ErrorCode::internal, "no key could be made");
    const auto root = pki::make_root(*root_key, "Bench root", m.now_, lifetime, m.random_);
    if (!root) return root.error();
    const pki::Issuer above{*root_key, *root};
    const auto issuing =
        pki::make_issuing(above, issuing_key->public_key(), "Bench issuing", m.now_, lifetime, m.random_);
    if (!issuing) return issuing.error();
    m.root_pem = *root;
    m.issuer_.emplace(pki::Issuer{*issuing_key, *issuing});
    return m;
  }
  [[nodiscard]] const std::string& issuer_pem() const { return issuer_->certificate_pem; }

  Status leaf(pki::LeafRequest request, const fs::path& certificate, const fs::path& key_file, bool with_chain) {
    request.lifetime = lifetime;
    const auto key = crypto::PrivateKey::generate();
    if (!key) return key.error();
    const auto pem = pki::issue(*issuer_, key->public_key(), request, now_, random_);
    if (!pem) return pem.error();
    if (const Status written = write_text(key_file, key->to_pem()); !written) return written;
    return write_text(certificate, with_chain ? *pem + issuer_pem() : *pem);
  }

  std::string root_pem;

 private:
  Maker() = default;
  Instant now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  crypto::SystemRandom random_;
  std::optional<pki::Issuer> issuer_;
};

std::string thing_name(std::size_t index) { return fmt::format("load-{:05}", index); }

Status make_all(const fs::path& folder, std::size_t devices) {
  auto maker = Maker::make();
  if (!maker) return maker.error();
  fs::create_directories(folder / "devices");
  for (std::size_t i = 0; i < devices; ++i) {
    const std::string thing = thing_name(i);
    fs::create_directories(folder / "devices" / thing);
    // The whole chain in the device's file: servers differ in what they know of the issuing authority.
    const Status made =
        maker->leaf({.purpose = pki::Purpose::device, .common_name = thing, .uris = {pki::thing_uri(thing)}},
                    folder / "devices" / thing / "cert.pem", folder / "devices" / thing / "key.pem", true);
    if (!made) return made;
  }
  const Status server = maker->leaf({.purpose = pki::Purpose::server,
                                     .common_name = "bench",
                                     .dns_names = {"localhost"},
                                     .ip_addresses = {"127.0.0.1"}},
                                    folder / "server.pem", folder / "server.key", true);
  if (!server) return server;
  if (const Status s = write_text(folder / "issuer.pem", maker->issuer_pem()); !s) return s;
  // Last: its being there says that the rest is.
  return write_text(folder / "ca.pem", maker->root_pem + maker->issuer_pem());
}

}  // namespace

Result<Identities> load_or_make(const fs::path& folder, std::size_t devices) {
  if (!fs::exists(folder / "ca.pem")) {
    if (const Status made = make_all(folder, devices); !made) return made.error();
  }
  Identities out{read_text(folder / "ca.pem"),
                 read_text(folder / "issuer.pem"),
                 read_text(folder / "server.pem"),
                 read_text(folder / "server.key"),
                 {}};
  for (std::size_t i = 0; i < devices; ++i) {
    const std::string thing = thing_name(i);
    out.devices.push_back({thing, read_text(folder / "devices" / thing / "cert.pem")});
    if (out.devices.back().certificate_pem.empty())
      return Error(ErrorCode::not_found, fmt::format("{} holds fewer than {} devices", folder.string(), devices));
  }
  return out;
}

}  // namespace fleetward::bench
