#include "services/fleetward/server_tls.hpp"

#include <fmt/format.h>

#include "pki/certificate.hpp"
#include "services/pki/authority_files.hpp"

namespace fleetward::program {
namespace {

constexpr std::string_view server_file = "server.crt";
constexpr std::string_view key_file = "server.key";
constexpr std::string_view issuing_file = "issuing.crt";
constexpr std::string_view root_file = "root.crt";

Status expect_valid(const pki::CertificateInfo& info, Instant now) {
  if (now < info.not_before)
    return {ErrorCode::failed_precondition, fmt::format("is not valid yet: from {}", to_rfc3339(info.not_before))};
  if (now >= info.not_after)
    return {ErrorCode::failed_precondition, fmt::format("expired at {}", to_rfc3339(info.not_after))};
  return {};
}

Status expect_one_valid(std::string_view text, Instant now) {
  Status last = Error(ErrorCode::invalid_argument, "holds no certificate");
  for (const std::string_view pem : pki::certificates_in(text)) {
    const auto info = pki::read_certificate(pem);
    last = info ? expect_valid(*info, now) : Status(info.error());
    if (last) return {};
  }
  return last;
}

struct Files {
  net::TlsMaterial material;
  std::vector<std::pair<std::string_view, std::string>> authorities;  // by file
};

Result<Files> read_files(const std::string& folder, ClientTrust trust) {
  auto certificate = pki_role::read_authority_file(folder, server_file);
  if (!certificate) return certificate.error();
  auto key = pki_role::read_authority_file(folder, key_file, true);
  if (!key) return key.error();
  Files files{{std::move(*certificate), std::move(*key), {}}, {}};
  if (trust == ClientTrust::none) return files;
  for (const std::string_view name : {issuing_file, root_file}) {
    auto authority = pki_role::read_authority_file(folder, name);
    if (!authority) return authority.error();
    files.material.client_ca_pem += *authority + "\n";  // a file may end without one
    files.authorities.emplace_back(name, std::move(*authority));
  }
  return files;
}

Status judge(const Files& files, ClientTrust trust, Instant now) {
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = files.material.certificate_chain_pem;
  tls.private_key_pem = files.material.private_key_pem;
  tls.client_ca_pem = files.material.client_ca_pem;
  tls.require_client_certificate = trust == ClientTrust::devices;
  if (const auto context = net::TlsContext::for_server(tls); !context) return context.error();
  const auto leaf = pki::read_certificate(tls.certificate_chain_pem);
  if (!leaf) return leaf.error().with_context(server_file);
  if (const Status valid = expect_valid(*leaf, now); !valid) return valid.error().with_context(server_file);
  for (const auto& [name, text] : files.authorities) {
    if (const Status valid = expect_one_valid(text, now); !valid) return valid.error().with_context(name);
  }
  return {};
}

}  // namespace

std::vector<std::string> server_tls_files(const std::string& folder, ClientTrust trust) {
  std::vector<std::string_view> names{server_file, key_file};
  if (trust == ClientTrust::devices) names.insert(names.end(), {issuing_file, root_file});
  std::vector<std::string> files;
  for (const std::string_view name : names) files.push_back(fmt::format("{}/{}", folder, name));
  return files;
}

Result<net::TlsMaterial> read_server_tls(const std::string& folder, ClientTrust trust) {
  auto files = read_files(folder, trust);
  if (!files) return files.error();
  return std::move(files->material);
}

Result<net::TlsMaterial> load_server_tls(const std::string& folder, ClientTrust trust, Instant now) {
  auto files = read_files(folder, trust);
  if (!files) return files.error();
  if (const Status good = judge(*files, trust, now); !good) return good.error();
  return std::move(files->material);
}

}  // namespace fleetward::program
