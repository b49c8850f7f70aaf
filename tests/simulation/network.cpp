#include "simulation/network.hpp"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "crypto/digest.hpp"
#include "simulation/sim_connection.hpp"

namespace fleetward::simulation {
namespace {

constexpr Millis refusal_takes{1};

Bytes certificate_of(const std::shared_ptr<const net::TlsContext>& tls) {
  X509* leaf = tls ? SSL_CTX_get0_certificate(tls->native()) : nullptr;
  if (leaf == nullptr) return {};
  unsigned char* der = nullptr;
  const int size = i2d_X509(leaf, &der);
  Bytes out(der, der + std::max(size, 0));
  OPENSSL_free(der);
  return out;
}

net::TlsInfo info_of(ByteView certificate) {
  net::TlsInfo info;
  info.peer_certificate_der.assign(certificate.begin(), certificate.end());
  if (!certificate.empty()) info.peer_fingerprint = crypto::sha256_hex(certificate);
  info.version = "simulated";
  return info;
}

}  // namespace

SimNetwork::SimNetwork(Universe& universe, const NetworkFaults& faults) : universe_(universe), faults_(faults) {}

SimNetwork::~SimNetwork() {
  for (const auto& [scheduler, loop] : loops_) net::Transport::put_under(*scheduler, nullptr);
  for (const auto& [number, connection] : std::exchange(connections_, {})) connection->vanish();
}

bool SimNetwork::is_open(std::uint64_t connection) const {
  const auto found = connections_.find(connection);
  return found != connections_.end() && found->second->is_open();
}

void SimNetwork::attach(Loop& loop, std::string address) {
  loops_[&loop] = {&loop, std::move(address)};
  net::Transport::put_under(loop, this);
}

void SimNetwork::forget(Loop& loop) {
  net::Transport::put_under(loop, nullptr);
  loops_.erase(&loop);
  // A machine that is gone says nothing; one whose process died resets.
  const bool is_silent = universe_.choice().one_in(3);
  const auto all = connections_;
  for (const auto& [number, connection] : all) {
    if (&connection->loop() != &loop) continue;
    connections_.erase(number);
    if (const auto to = connection->other.lock(); to && !is_silent)
      to->deliver(late(), [](SimConnection& c) { c.end({ErrorCode::unavailable, "the connection was reset"}); });
    connection->vanish();
  }
  std::erase_if(listeners_, [&](const auto& l) { return &l.second->loop == &loop; });
}

std::shared_ptr<net::Connection> SimNetwork::connect(async::Scheduler& scheduler, const net::Endpoint& to,
                                                     std::shared_ptr<const net::TlsContext> tls,
                                                     net::Connection::Callbacks callbacks,
                                                     net::ConnectionOptions options) {
  Loop& loop = *loops_.at(&scheduler).first;
  const std::uint64_t number = ++last_connection_;
  auto client = std::make_shared<SimConnection>(*this, loop, to, number);
  connections_[number] = client;
  client->set_callbacks(std::move(callbacks));
  client->arm_handshake(options.handshake_timeout);
  const auto found = listeners_.find(net::to_string(to));
  if (found == listeners_.end() || universe_.choice().one_in(faults_.refuse_one_in)) {
    client->deliver(refusal_takes + late(), [](SimConnection& c) {
      c.end({ErrorCode::unavailable, "cannot connect: connection refused"});
    });
    return client;
  }
  found->second->loop.call_after(late(), [this, client, tls = std::move(tls)] { arrive(client, tls); });
  return client;
}

// On the server's loop.
void SimNetwork::arrive(const std::shared_ptr<SimConnection>& client, std::shared_ptr<const net::TlsContext> tls) {
  const auto found = listeners_.find(net::to_string(client->peer()));
  if (client->has_ended()) return;
  if (found == listeners_.end() || (found->second->tls == nullptr) != (tls == nullptr)) {
    client->deliver(late(), [](SimConnection& c) { c.end({ErrorCode::unavailable, "cannot connect: refused"}); });
    return;
  }
  SimListener& listener = *found->second;
  const std::uint64_t number = ++last_connection_;
  const net::Endpoint from{loops_.at(&client->loop()).second, static_cast<std::uint16_t>(20'000 + number % 40'000)};
  auto server = std::make_shared<SimConnection>(*this, listener.loop, from, number);
  connections_[number] = server;
  server->is_server = true;
  server->other = client;
  client->other = server;
  ++*listener.count;
  server->counted = listener.count;
  server->arm_handshake(Millis(10'000));
  const Bytes server_certificate = certificate_of(listener.tls);
  listener.accepted(server);
  shake_hands(client, server, certificate_of(tls), server_certificate);
}

void SimNetwork::shake_hands(const std::shared_ptr<SimConnection>& client, const std::shared_ptr<SimConnection>& server,
                             ByteView client_certificate, ByteView server_certificate) {
  server->client_certificate.assign(client_certificate.begin(), client_certificate.end());
  const Bytes shown(server_certificate.begin(), server_certificate.end());
  server->deliver(late(), [client, shown](SimConnection& s) {
    const bool accepted =
        s.client_certificate.empty() || s.judge(ByteView(s.client_certificate)) == net::PeerVerdict::accept;
    if (!accepted) {
      client->deliver(Millis(1), [](SimConnection& c) { c.end({ErrorCode::unavailable, "TLS alert"}); });
      return s.end({ErrorCode::unavailable, "the certificate was refused"});
    }
    client->deliver(Millis(1), [shown](SimConnection& c) { c.opened(info_of(ByteView(shown))); });
    s.opened(info_of(ByteView(s.client_certificate)));
  });
}

Result<std::unique_ptr<net::Listener>> SimNetwork::open(async::Scheduler& scheduler, const net::Endpoint& at,
                                                        std::shared_ptr<const net::TlsContext> tls,
                                                        net::Listener::Accepted accepted, net::ListenerOptions) {
  if (listeners_.contains(net::to_string(at))) return Error(ErrorCode::unavailable, "the address is in use");
  return std::unique_ptr<net::Listener>(
      std::make_unique<SimListener>(*this, *loops_.at(&scheduler).first, at, std::move(tls), std::move(accepted)));
}

SimListener::SimListener(SimNetwork& network, Loop& on, net::Endpoint at,
                         std::shared_ptr<const net::TlsContext> context, Accepted take)
    : loop(on), tls(std::move(context)), accepted(std::move(take)), network_(network), at_(std::move(at)) {
  network_.listeners_[net::to_string(at_)] = this;
}

void SimListener::close() {
  const auto found = network_.listeners_.find(net::to_string(at_));
  if (found != network_.listeners_.end() && found->second == this) network_.listeners_.erase(found);
  accepted = {};
}

}  // namespace fleetward::simulation
