#include "net/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <system_error>

#include "net/connection_impl.hpp"
#include "net/proxy_protocol.hpp"

namespace fleetward::net {
namespace {

constexpr std::size_t small_buffer = 64;
constexpr Millis forget_peer_after{250};

std::string system_error(int code) { return std::generic_category().message(code); }

// One read buffer a thread: a connection only holds what it has not yet handed on.
std::span<std::uint8_t> read_buffer() {
  static thread_local std::vector<std::uint8_t> buffer(64 << 10);
  return buffer;
}
std::span<std::uint8_t> plain_buffer() {
  static thread_local std::vector<std::uint8_t> buffer(17 << 10);  // a TLS record and a little
  return buffer;
}

}  // namespace

std::string to_string(const Endpoint& e) {
  return e.host.find(':') == std::string::npos ? fmt::format("{}:{}", e.host, e.port)
                                               : fmt::format("[{}]:{}", e.host, e.port);
}

SocketConnection::SocketConnection(async::Scheduler& scheduler, Endpoint peer, ConnectionOptions options)
    : scheduler_(scheduler), poller_(Poller::of(scheduler.executor())), peer_(std::move(peer)), options_(options) {}

// Without an end() when the whole scheduler goes.
SocketConnection::~SocketConnection() {
  scheduler_.cancel(timer_);
  if (fd_ >= 0) ::close(fd_);
}

void SocketConnection::use_tls(std::shared_ptr<const TlsContext> tls, TlsSession::Role role) {
  tls_context_ = std::move(tls);
  is_server_ = role == TlsSession::Role::server;
}

void SocketConnection::set_callbacks(Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  if (tls_ && callbacks_.verify_peer) tls_->set_verify(callbacks_.verify_peer);
}

void SocketConnection::begin_tls() {
  tls_ = std::make_unique<TlsSession>(std::exchange(tls_context_, nullptr),
                                      is_server_ ? TlsSession::Role::server : TlsSession::Role::client, out_);
  if (callbacks_.verify_peer) tls_->set_verify(callbacks_.verify_peer);
}

void SocketConnection::arm_handshake_timer() {
  std::weak_ptr<SocketConnection> weak = shared();
  timer_ = scheduler_.call_after(options_.handshake_timeout, [weak] {
    if (const auto self = weak.lock()) self->end(Error(ErrorCode::deadline_exceeded, "the handshake took too long"));
  });
}

bool SocketConnection::take(int fd) {
  fd_ = fd;
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  interest_ = EPOLLIN;
  if (poller_.add(fd, interest_, shared())) return true;
  end(Error(ErrorCode::resource_exhausted, system_error(errno)));
  return false;
}

void SocketConnection::start_behind_proxy(int connected_fd, std::function<void(bool)> done) {
  header_ = std::make_unique<AwaitedHeader>();
  header_->done = std::move(done);
  take(connected_fd);
}

void SocketConnection::on_proxy_header(ByteView bytes) {
  header_->bytes.insert(header_->bytes.end(), bytes.begin(), bytes.end());
  const auto read = read_proxy_header(header_->bytes);
  if (read && !*read) return;
  const std::unique_ptr<AwaitedHeader> header = std::move(header_);
  if (!read) {
    header->done(false);
    return end(read.error());
  }
  if ((*read)->source) peer_ = *(*read)->source;
  header->done(true);
  if (state_ != State::handshaking) return;  // its owner does not want it
  open_tls_or_plain();
  hand_on(ByteView(header->bytes).subspan((*read)->bytes));
}

void SocketConnection::start(int connected_fd) {
  if (take(connected_fd)) open_tls_or_plain();
}

void SocketConnection::open_tls_or_plain() {
  if (!tls_context_) return opened(TlsInfo());
  // A server has nothing to say before its client has, and takes no memory for who says nothing.
  if (is_server_) return;
  begin_tls();
  advance_handshake();
}

void SocketConnection::opened(const TlsInfo& info) {
  if (state_ != State::handshaking) return;  // given up meanwhile
  scheduler_.cancel(timer_);
  timer_ = async::no_timer;
  if (is_server_ && tls_) forget_peer_later();
  state_ = State::open;
  const auto self = shared();  // the callback may drop the last other reference
  if (callbacks_.open) callbacks_.open(info);
}

// Not at once: it costs a tenth of a handshake, which is too much when all of a fleet comes back.
void SocketConnection::forget_peer_later() {
  std::weak_ptr<SocketConnection> weak = shared();
  timer_ = scheduler_.call_after(forget_peer_after, [weak] {
    if (const auto self = weak.lock()) self->tls_->forget_peer();
  });
}

void SocketConnection::advance_handshake() {
  const Result<bool> done = tls_->handshake();
  flush();  // an alert goes out even when it failed
  if (state_ == State::ended) return;
  if (!done) {
    end(done.error());
  } else if (*done) {
    opened(tls_->info());
  }
}

void SocketConnection::on_ready(std::uint32_t events) {
  const auto self = shared();
  if ((events & EPOLLOUT) != 0) {
    socket_full_ = false;
    flush();
  }
  if (state_ == State::ended || state_ == State::ending) return;
  const bool is_gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (!reading_paused_ && (is_gone || (events & EPOLLIN) != 0)) {
    on_readable();
  } else if (is_gone) {
    end(Error(ErrorCode::unavailable, "the peer closed the connection"));
  }
  update_interest();
}

// What the poller is to tell follows from the state; it is told only of changes.
void SocketConnection::update_interest() {
  if (fd_ < 0) return;
  const std::uint32_t wanted = (reading_paused_ ? 0U : EPOLLIN) | (socket_full_ ? EPOLLOUT : 0U);
  if (wanted == std::exchange(interest_, wanted)) return;
  poller_.change(fd_, wanted, *this);
}

void SocketConnection::on_readable() {
  const auto buffer = read_buffer();
  const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
  if (n == 0) return end(Error(ErrorCode::unavailable, "the peer closed the connection"));
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return;  // told again when there is something
    return end(Error(ErrorCode::unavailable, system_error(errno)));
  }
  const ByteView bytes = buffer.first(static_cast<std::size_t>(n));
  if (header_) {
    on_proxy_header(bytes);
  } else {
    hand_on(bytes);
  }
}

void SocketConnection::hand_on(ByteView bytes) {
  if (bytes.empty() || (state_ != State::handshaking && state_ != State::open)) return;
  if (tls_context_) begin_tls();
  if (tls_) {
    tls_->feed(bytes);
    on_ciphertext();
    tls_->keep_rest();
  } else if (callbacks_.data) {
    callbacks_.data(bytes);
  }
}

void SocketConnection::on_ciphertext() {
  if (state_ == State::handshaking) {
    advance_handshake();
    if (state_ != State::open) return;
  }
  while (state_ == State::open && !reading_paused_) {
    const auto buffer = plain_buffer();
    const Result<std::size_t> n = tls_->read(buffer);
    if (!n) {
      flush();
      return end(n.error());
    }
    if (*n == 0) break;
    if (callbacks_.data) callbacks_.data(buffer.first(*n));
  }
  flush();
}

void SocketConnection::write(ByteView bytes) {
  if (state_ != State::open) return;
  if (tls_) {
    if (const Status written = tls_->write(bytes); !written) return end_soon(written.error());
  } else {
    out_.append(as_text(bytes));
  }
  if (queued() > options_.write_queue_bytes_max) {
    return end_soon(Error(ErrorCode::resource_exhausted, "the peer does not read what it is sent"));
  }
  if (queued() > options_.write_high_water) high_water_ = true;
  call_soon();  // one system call for all that is written in one turn of the loop
}

void SocketConnection::call_soon() {
  if (!std::exchange(turn_asked_, true)) poller_.call_soon(shared());
}

// What was not to be done within a caller's own call.
void SocketConnection::on_turn() {
  turn_asked_ = false;
  flush();
  if (ending_for_) return end(*std::exchange(ending_for_, nullptr));
  if (std::exchange(resumed_, false) && state_ == State::open && !reading_paused_ && tls_) on_ciphertext();
  update_interest();
}

void SocketConnection::on_shutdown() {
  state_ = State::ended;
  const Callbacks callbacks = std::exchange(callbacks_, {});
  if (tls_) tls_->set_verify({});
}

void SocketConnection::flush() {
  while (fd_ >= 0 && queued() > 0 && !socket_full_) {
    const ssize_t n = ::send(fd_, out_.data() + out_sent_, queued(), MSG_NOSIGNAL);
    if (n >= 0) {
      out_sent_ += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      socket_full_ = true;
      return update_interest();
    } else if (errno != EINTR) {
      return end_soon(Error(ErrorCode::unavailable, system_error(errno)));
    }
  }
  if (queued() > 0 || state_ == State::ended) return;
  out_.clear();
  out_sent_ = 0;
  // An idle connection holds no buffer that is worth the name; a small one serves the next acknowledgement.
  if (out_.capacity() > small_buffer) std::string().swap(out_);
  if (std::exchange(high_water_, false) && callbacks_.drained) callbacks_.drained();
  if (state_ == State::closing) ::shutdown(fd_, SHUT_WR);
}

void SocketConnection::pause_reading() {
  reading_paused_ = true;
  update_interest();
}

void SocketConnection::resume_reading() {
  if (!std::exchange(reading_paused_, false)) return;
  resumed_ = true;
  call_soon();
}

void SocketConnection::close() {
  if (state_ == State::ended || state_ == State::ending || state_ == State::closing) return;
  if (state_ != State::open) return end_soon(Error(ErrorCode::cancelled, "closed"));
  if (tls_) tls_->goodbye();
  state_ = State::closing;
  reading_paused_ = false;
  scheduler_.cancel(timer_);
  std::weak_ptr<SocketConnection> weak = shared();
  timer_ = scheduler_.call_after(options_.close_timeout, [weak] {
    if (const auto self = weak.lock()) self->end(Error(ErrorCode::cancelled, "closed"));
  });
  flush();
  update_interest();
}

void SocketConnection::abort() { end_soon(Error(ErrorCode::cancelled, "aborted")); }

void SocketConnection::end_soon(Error reason) {
  if (state_ == State::ended || state_ == State::ending) return;
  if (state_ != State::closing) state_ = State::ending;
  if (!ending_for_) ending_for_ = std::make_unique<Error>(std::move(reason));
  call_soon();
}

void SocketConnection::end(const Error& reason) {
  if (state_ == State::ended) return;
  const bool ours = state_ == State::closing;
  state_ = State::ended;
  scheduler_.cancel(timer_);
  const auto self = shared();
  if (fd_ >= 0) {
    poller_.remove(fd_, *this);
    ::close(std::exchange(fd_, -1));
  }
  const Callbacks callbacks = std::move(callbacks_);  // they may hold the connection's owner: let go of it
  callbacks_ = {};
  if (tls_) tls_->set_verify({});
  if (on_end) std::exchange(on_end, {})();
  if (callbacks.closed) callbacks.closed(ours ? Error(ErrorCode::cancelled, "closed") : reason);
}

}  // namespace fleetward::net
