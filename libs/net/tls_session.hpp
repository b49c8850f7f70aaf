// One TLS connection over memory: ciphertext in and out, plaintext in and out. No socket, no clock.
//
// OpenSSL reads the bytes where they came in and writes to the owner's buffer: nothing is copied between, and a session
// at rest holds no buffer. Includes nothing of OpenSSL for its users; only .cpp files of net do. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/connection.hpp"

struct bio_method_st;
struct bio_st;
struct ssl_st;
struct x509_store_ctx_st;

namespace fleetward::net {

// OpenSSL's verify callback of servers: hands the leaf to TlsSession's verify_peer.
int verify_client(int chain_is_good, x509_store_ctx_st* context);
// OpenSSL's verification, of which only the verdict is kept: the chain of each connection would stay in memory.
int verify_chain(x509_store_ctx_st* context, void*);

// OpenSSL's info callback of servers: counts what a client sends beside data, see TlsSession::read().
void note_message(const ssl_st* ssl, int where, int);

// Makes OpenSSL take its record buffers from what the thread gave back last (tls_buffers.cpp). Once, before OpenSSL
// allocates anything: false, and nothing changed, afterwards.
bool keep_record_buffers();

class TlsSession {
 public:
  using Verify = std::function<PeerVerdict(ByteView leaf_der)>;
  enum class Role { client, server };

  // Ciphertext that is to be sent is appended to `out`, which outlives the session.
  TlsSession(std::shared_ptr<const TlsContext> context, Role role, std::string& out);
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession();

  void set_verify(Verify verify) { verify_ = std::move(verify); }
  [[nodiscard]] const Verify& verify() const { return verify_; }

  // Starts (clients) or goes on with the handshake. True once it is done.
  Result<bool> handshake();
  // Ciphertext from the peer. It is read where it is until keep_rest(), which keeps what was not asked for by then.
  void feed(ByteView bytes);
  void keep_rest();
  // The next plaintext, into `buffer`: 0 when there is none now. cancelled: the peer has said goodbye. throttled:
  // servers, it has sent messages_without_data_max messages of TLS (key updates, attempts to renegotiate) and no data
  // between them. Each costs us as much as a report.
  Result<std::size_t> read(std::span<std::uint8_t> buffer);
  Status write(ByteView plain);
  void goodbye();  // close_notify
  [[nodiscard]] TlsInfo info() const;
  // After info(), servers only. OpenSSL keeps the peer's certificate for as long as the session, and has no way to let
  // go of it; the decoded key in it has done its work and is the largest part, so a small one takes its place.
  void forget_peer();

  static constexpr int messages_without_data_max = 32;

 private:
  friend void note_message(const ssl_st* ssl, int where, int);
  static const bio_method_st* bio_method();
  static int bio_read(bio_st* bio, char* into, int size);
  static int bio_write(bio_st* bio, const char* from, int size);
  Error failure(int code, std::string_view what);
  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  Verify verify_;
  std::string& out_;
  ByteView in_;       // not yet read by OpenSSL
  std::string rest_;  // what of it is our own
  bool is_established_ = false;
  int messages_without_data_ = 0;
};

}  // namespace fleetward::net
