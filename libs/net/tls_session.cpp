#include "net/tls_session.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstring>

#include "crypto/digest.hpp"
#include "crypto/openssl.hpp"

namespace fleetward::net {
namespace {

Bytes der_of(X509* certificate) { return certificate == nullptr ? Bytes() : crypto::to_der(certificate, i2d_X509); }

bool is_ip_address(const std::string& name) {
  ASN1_OCTET_STRING* ip = a2i_IPADDRESS(name.c_str());
  ERR_clear_error();
  ASN1_OCTET_STRING_free(ip);
  return ip != nullptr;
}

}  // namespace

int verify_client(int chain_is_good, X509_STORE_CTX* context) {
  if (chain_is_good != 1 || X509_STORE_CTX_get_error_depth(context) != 0) return chain_is_good;
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* session = static_cast<const TlsSession*>(SSL_get_app_data(ssl));
  if (session == nullptr || !session->verify()) return 1;
  switch (session->verify()(der_of(X509_STORE_CTX_get_current_cert(context)))) {
    case PeerVerdict::accept:
      return 1;
    case PeerVerdict::revoked:
      X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REVOKED);
      return 0;
    case PeerVerdict::expired:
      X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_HAS_EXPIRED);
      return 0;
    case PeerVerdict::unknown:
      X509_STORE_CTX_set_error(context, X509_V_ERR_CERT_REJECTED);
      return 0;
  }
  return 0;
}

int verify_chain(X509_STORE_CTX* context, void*) {
  const int verdict = X509_verify_cert(context);
  X509_STORE_CTX_set0_verified_chain(context, nullptr);
  return verdict;
}

void note_message(const SSL* ssl, int where, int) {
  auto* session = static_cast<TlsSession*>(SSL_get_app_data(ssl));
  const bool counts = where == SSL_CB_ACCEPT_LOOP || where == SSL_CB_WRITE_ALERT;
  if (counts && session != nullptr && session->is_established_) ++session->messages_without_data_;
}

int TlsSession::bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  auto* session = static_cast<TlsSession*>(BIO_get_data(bio));
  // OpenSSL would go through all of them before it comes back to us: here it gets no more.
  if (session->messages_without_data_ > messages_without_data_max) return -1;
  ByteView& in = session->in_;
  if (in.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = std::min(in.size(), static_cast<std::size_t>(std::max(size, 0)));
  std::memcpy(into, in.data(), n);
  in = in.subspan(n);
  return static_cast<int>(n);
}

int TlsSession::bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  static_cast<TlsSession*>(BIO_get_data(bio))->out_.append(from, static_cast<std::size_t>(std::max(size, 0)));
  return size;
}

const BIO_METHOD* TlsSession::bio_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "TlsSession");
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    return m;
  }();
  return method;
}

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, Role role, std::string& out)
    : context_(std::move(context)), ssl_(SSL_new(context_->native()), [](SSL* s) { SSL_free(s); }), out_(out) {
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
  if (role == Role::server) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  const std::string& name = context_->server_name();
  if (is_ip_address(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_.get(), name.c_str());
    SSL_set1_host(ssl_.get(), name.c_str());
  }
}

TlsSession::~TlsSession() = default;

Error TlsSession::failure(int code, std::string_view what) {
  const long verify = SSL_get_verify_result(ssl_.get());
  std::string text = fmt::format("{}: {}", what, crypto::take_openssl_errors());
  if (verify != X509_V_OK) text += fmt::format(" ({})", X509_verify_cert_error_string(verify));
  if (code == SSL_ERROR_ZERO_RETURN) return Error(ErrorCode::cancelled, "the peer closed the connection");
  if (messages_without_data_ > messages_without_data_max)
    return Error(ErrorCode::throttled, "too many messages of TLS and no data");
  return Error(ErrorCode::unavailable, std::move(text));
}

Result<bool> TlsSession::handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    is_established_ = true;
    return true;
  }
  const int code = SSL_get_error(ssl_.get(), done);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return false;
  return failure(code, "TLS handshake");
}

void TlsSession::feed(ByteView bytes) {
  if (in_.empty()) {
    in_ = bytes;
    return;
  }
  std::string joined(as_text(in_));
  joined += as_text(bytes);
  rest_.swap(joined);
  in_ = as_bytes(rest_);
}

void TlsSession::keep_rest() {
  if (in_.empty() && rest_.empty()) return;
  std::string rest(as_text(in_));
  rest_.swap(rest);  // not assigned: that would keep the room of what was there
  in_ = as_bytes(rest_);
}

Result<std::size_t> TlsSession::read(std::span<std::uint8_t> buffer) {
  if (in_.empty() && SSL_has_pending(ssl_.get()) == 0) return std::size_t{0};
  ERR_clear_error();
  std::size_t n = 0;
  const int done = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &n);
  if (done == 1) {
    messages_without_data_ = 0;
    return n;
  }
  const int code = SSL_get_error(ssl_.get(), done);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return std::size_t{0};
  return failure(code, "TLS");
}

void TlsSession::forget_peer() {
  static const crypto::PkeyHandle small(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  X509* peer = SSL_get0_peer_certificate(ssl_.get());
  if (peer != nullptr && small) X509_set_pubkey(peer, small.get());
}

Status TlsSession::write(ByteView plain) {
  while (!plain.empty()) {
    ERR_clear_error();
    std::size_t n = 0;
    const int done = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &n);
    if (done != 1) return failure(SSL_get_error(ssl_.get(), done), "TLS write");
    plain = plain.subspan(n);
  }
  return {};
}

void TlsSession::goodbye() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

TlsInfo TlsSession::info() const {
  TlsInfo info;
  info.peer_certificate_der = der_of(SSL_get0_peer_certificate(ssl_.get()));
  if (!info.peer_certificate_der.empty())
    info.peer_fingerprint = crypto::sha256_hex(ByteView(info.peer_certificate_der));
  info.resumed = SSL_session_reused(ssl_.get()) == 1;
  info.version = SSL_get_version(ssl_.get());
  info.cipher = SSL_get_cipher_name(ssl_.get());
  const unsigned char* alpn = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &alpn, &length);
  if (length > 0) info.alpn.assign(reinterpret_cast<const char*>(alpn), length);
  if (const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name)) info.server_name = name;
  return info;
}

}  // namespace fleetward::net
