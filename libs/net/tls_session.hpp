// One TLS connection over memory: ciphertext in and out, plaintext in and out. No socket, no clock.
//
// Includes nothing of OpenSSL for its users; only .cpp files of net do. One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "net/connection.hpp"

struct ssl_st;
struct x509_store_ctx_st;

namespace fleetward::net {

// OpenSSL's verify callback of servers: hands the leaf to TlsSession's verify_peer.
int verify_client(int chain_is_good, x509_store_ctx_st* context);

class TlsSession {
 public:
  using Verify = std::function<PeerVerdict(ByteView leaf_der)>;
  enum class Role { client, server };

  TlsSession(std::shared_ptr<const TlsContext> context, Role role);
  ~TlsSession();

  void set_verify(Verify verify) { verify_ = std::move(verify); }
  [[nodiscard]] const Verify& verify() const { return verify_; }

  // Starts (clients) or goes on with the handshake. True once it is done.
  Result<bool> handshake();
  // Ciphertext from the peer.
  void feed(ByteView bytes);
  // The next plaintext, into `buffer`: 0 when there is none now. cancelled: the peer has said goodbye.
  Result<std::size_t> read(std::span<std::uint8_t> buffer);
  Status write(ByteView plain);
  void goodbye();  // close_notify
  // Appends the ciphertext that is to be sent.
  void take_output(std::string& out);
  [[nodiscard]] TlsInfo info() const;

 private:
  Error failure(int code, std::string_view what);
  std::shared_ptr<const TlsContext> context_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  Verify verify_;
};

}  // namespace fleetward::net
