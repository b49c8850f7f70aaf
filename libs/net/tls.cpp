#include "net/tls.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "crypto/openssl.hpp"
#include "net/tls_session.hpp"

namespace fleetward::net {
namespace {

constexpr std::size_t pem_bytes_max = 1 << 20;

// With the program's statics, so that nothing of OpenSSL was used yet.
[[maybe_unused]] const bool record_buffers_are_kept = keep_record_buffers();

Error tls_error(std::string_view what) { return crypto::openssl_error(ErrorCode::invalid_argument, what); }

// Never asks on a terminal for the passphrase of an encrypted key.
int no_passphrase(char*, int, int, void*) { return -1; }

// The end of a PEM text: no more of its blocks. One that is cut short or spoilt is not the end, and what it held would
// be missed.
Status expect_end(std::string_view what) {
  const bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (!is_end) return tls_error(what);
  ERR_clear_error();
  return {};
}

Status use_identity(SSL_CTX* context, const std::string& chain, const std::string& key_pem) {
  const crypto::BioHandle bio = crypto::bio_over(as_bytes(chain));
  const crypto::CertHandle leaf(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) return tls_error("certificate");
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) return tls_error("certificate chain");
  }
  if (const Status whole = expect_end("certificate chain"); !whole) return whole;
  const crypto::BioHandle key_bio = crypto::bio_over(as_bytes(key_pem));
  const crypto::PkeyHandle key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return Error(ErrorCode::invalid_argument, "the private key is not an unencrypted PEM key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return tls_error("the private key does not belong to the certificate");
  }
  return {};
}

Result<int> trust(SSL_CTX* context, const std::string& ca_pem, bool tell_clients) {
  const crypto::BioHandle bio = crypto::bio_over(as_bytes(ca_pem));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  // A trusted authority need not be a root: an operator may trust just the issuing one.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  int count = 0;
  while (true) {
    const crypto::CertHandle ca(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!ca) break;
    if (X509_STORE_add_cert(store, ca.get()) != 1 || (tell_clients && SSL_CTX_add_client_CA(context, ca.get()) != 1)) {
      return tls_error("authority");
    }
    ++count;
  }
  if (const Status whole = expect_end("authority"); !whole) return whole.error();
  if (count == 0) return Error(ErrorCode::invalid_argument, "there is no certificate in the list of authorities");
  return count;
}

std::vector<std::uint8_t> alpn_wire(const std::vector<std::string>& protocols) {
  std::vector<std::uint8_t> wire;
  for (const std::string& p : protocols) {
    wire.push_back(static_cast<std::uint8_t>(p.size()));
    wire.insert(wire.end(), p.begin(), p.end());
  }
  return wire;
}

int choose_alpn(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                unsigned int length, void* ours) {
  const auto& wire = *static_cast<const std::vector<std::uint8_t>*>(ours);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, wire.data(), static_cast<unsigned>(wire.size()), offered, length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<ssl_ctx_st> new_context(const SSL_METHOD* method) {
  std::shared_ptr<ssl_ctx_st> context(SSL_CTX_new(method), [](SSL_CTX* c) { SSL_CTX_free(c); });
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_cert_verify_callback(context.get(), verify_chain, nullptr);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  return context;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::for_server(const TlsServerConfig& config) {
  if (config.certificate_chain_pem.size() + config.private_key_pem.size() + config.client_ca_pem.size() >
      pem_bytes_max) {
    return Error(ErrorCode::resource_exhausted, "certificates of more than 1 MiB");
  }
  std::shared_ptr<TlsContext> made(new TlsContext());
  made->context_ = new_context(TLS_server_method());
  SSL_CTX* context = made->context_.get();
  SSL_CTX_set_info_callback(context, note_message);
  if (const Status used = use_identity(context, config.certificate_chain_pem, config.private_key_pem); !used)
    return used.error();
  if (config.require_client_certificate) {
    if (const auto trusted = trust(context, config.client_ca_pem, true); !trusted) return trusted.error();
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_client);
  }
  static constexpr std::string_view id = "fleetward";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(id.data()), id.size());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets only: nothing to keep here
  if (config.resumption) {
    SSL_CTX_set_num_tickets(context, 1);
  } else {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  }
  made->alpn_wire_ = alpn_wire(config.alpn);
  if (!config.alpn.empty()) SSL_CTX_set_alpn_select_cb(context, choose_alpn, &made->alpn_wire_);
  return std::shared_ptr<const TlsContext>(made);
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_client(const TlsClientConfig& config) {
  // Without a name any server of that authority would do.
  if (config.server_name.empty()) return Error(ErrorCode::invalid_argument, "a TLS client needs its server's name");
  std::shared_ptr<TlsContext> made(new TlsContext());
  made->context_ = new_context(TLS_client_method());
  made->server_name_ = config.server_name;
  SSL_CTX* context = made->context_.get();
  if (const auto trusted = trust(context, config.ca_pem, false); !trusted) return trusted.error();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!config.certificate_chain_pem.empty()) {
    const Status used = use_identity(context, config.certificate_chain_pem, config.private_key_pem);
    if (!used) return used.error();
  }
  const auto wire = alpn_wire(config.alpn);
  if (!wire.empty()) SSL_CTX_set_alpn_protos(context, wire.data(), static_cast<unsigned>(wire.size()));
  return std::shared_ptr<const TlsContext>(made);
}

}  // namespace fleetward::net
