#include "net/connection.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

#include "net/connection_impl.hpp"
#include "net/proxy_protocol.hpp"

namespace fleetward::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

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

SocketConnection::SocketConnection(async::Scheduler& scheduler, tcp::socket socket, Endpoint peer,
                                   ConnectionOptions options)
    : scheduler_(scheduler), socket_(std::move(socket)), peer_(std::move(peer)), options_(options) {}

SocketConnection::~SocketConnection() { scheduler_.cancel(timer_); }

void SocketConnection::use_tls(std::shared_ptr<const TlsContext> tls, TlsSession::Role role) {
  tls_ = std::make_unique<TlsSession>(std::move(tls), role);
}

void SocketConnection::set_callbacks(Callbacks callbacks) {
  callbacks_ = std::move(callbacks);
  if (tls_ && callbacks_.verify_peer) tls_->set_verify(callbacks_.verify_peer);
}

void SocketConnection::arm_handshake_timer() {
  std::weak_ptr<SocketConnection> weak = shared();
  timer_ = scheduler_.call_after(options_.handshake_timeout, [weak] {
    if (const auto self = weak.lock()) self->end(Error(ErrorCode::deadline_exceeded, "the handshake took too long"));
  });
}

void SocketConnection::prepare_socket() {
  boost::system::error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
}

void SocketConnection::start_behind_proxy(std::function<void(bool)> done) {
  header_ = std::make_unique<AwaitedHeader>();
  header_->done = std::move(done);
  prepare_socket();
  wait_readable();
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
  start();
  hand_on(ByteView(header->bytes).subspan((*read)->bytes));
}

void SocketConnection::start() {
  prepare_socket();
  if (tls_) {
    advance_handshake();
  } else {
    opened(TlsInfo());
  }
  wait_readable();
}

void SocketConnection::opened(const TlsInfo& info) {
  if (state_ != State::handshaking) return;  // given up meanwhile
  scheduler_.cancel(timer_);
  timer_ = async::no_timer;
  state_ = State::open;
  const auto self = shared();  // the callback may drop the last other reference
  if (callbacks_.open) callbacks_.open(info);
}

void SocketConnection::advance_handshake() {
  const Result<bool> done = tls_->handshake();
  tls_->take_output(out_);
  flush();  // an alert goes out even when it failed
  if (state_ == State::ended) return;
  if (!done) {
    end(done.error());
  } else if (*done) {
    opened(tls_->info());
  }
}

void SocketConnection::wait_readable() {
  if (state_ == State::ended || reading_paused_ || std::exchange(waiting_readable_, true)) return;
  socket_.async_wait(tcp::socket::wait_read, [self = shared()](const boost::system::error_code& error) {
    self->waiting_readable_ = false;
    if (error || self->state_ == State::ended) return;
    self->on_readable();
  });
}

void SocketConnection::on_readable() {
  if (reading_paused_) return;
  const auto buffer = read_buffer();
  boost::system::error_code error;
  const std::size_t n = socket_.read_some(asio::buffer(buffer.data(), buffer.size()), error);
  if (error == asio::error::would_block) return wait_readable();
  if (error)
    return end(
        Error(ErrorCode::unavailable, error == asio::error::eof ? "the peer closed the connection" : error.message()));
  if (header_) {
    on_proxy_header(buffer.first(n));
  } else {
    hand_on(buffer.first(n));
  }
  wait_readable();
}

void SocketConnection::hand_on(ByteView bytes) {
  if (bytes.empty() || (state_ != State::handshaking && state_ != State::open)) return;
  if (tls_) {
    tls_->feed(bytes);
    on_ciphertext();
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
    tls_->take_output(out_);
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
    tls_->take_output(out_);
  } else {
    out_.append(as_text(bytes));
  }
  if (queued() > options_.write_queue_bytes_max) {
    return end_soon(Error(ErrorCode::resource_exhausted, "the peer does not read what it is sent"));
  }
  if (queued() > options_.write_high_water) high_water_ = true;
  // One system call for all that is written in one turn of the loop.
  if (!std::exchange(flush_posted_, true)) {
    asio::post(socket_.get_executor(), [self = shared()] {
      self->flush_posted_ = false;
      self->flush();
    });
  }
}

void SocketConnection::flush() {
  while (state_ != State::ended && queued() > 0 && !waiting_writable_) {
    boost::system::error_code error;
    const std::size_t n = socket_.write_some(asio::buffer(out_.data() + out_sent_, queued()), error);
    if (error == asio::error::would_block) {
      waiting_writable_ = true;
      socket_.async_wait(tcp::socket::wait_write, [self = shared()](const boost::system::error_code& failed) {
        self->waiting_writable_ = false;
        if (!failed) self->flush();
      });
      return;
    }
    if (error) return end_soon(Error(ErrorCode::unavailable, error.message()));
    out_sent_ += n;
  }
  if (queued() > 0 || state_ == State::ended) return;
  out_ = std::string();  // an idle connection holds no buffer
  out_sent_ = 0;
  if (std::exchange(high_water_, false) && callbacks_.drained) callbacks_.drained();
  if (state_ == State::closing) {
    boost::system::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
  }
}

void SocketConnection::pause_reading() { reading_paused_ = true; }

void SocketConnection::resume_reading() {
  if (!std::exchange(reading_paused_, false) || state_ != State::open) return;
  asio::post(socket_.get_executor(), [self = shared()] {
    if (self->state_ != State::open || self->reading_paused_) return;
    if (self->tls_) self->on_ciphertext();  // what had been decrypted in part before the pause
    self->wait_readable();
  });
}

void SocketConnection::close() {
  if (state_ == State::ended || state_ == State::ending || state_ == State::closing) return;
  if (state_ != State::open) return end_soon(Error(ErrorCode::cancelled, "closed"));
  if (tls_) {
    tls_->goodbye();
    tls_->take_output(out_);
  }
  state_ = State::closing;
  reading_paused_ = false;
  std::weak_ptr<SocketConnection> weak = shared();
  timer_ = scheduler_.call_after(options_.close_timeout, [weak] {
    if (const auto self = weak.lock()) self->end(Error(ErrorCode::cancelled, "closed"));
  });
  flush();
  wait_readable();
}

void SocketConnection::abort() { end_soon(Error(ErrorCode::cancelled, "aborted")); }

void SocketConnection::end_soon(Error reason) {
  if (state_ == State::ended || state_ == State::ending) return;
  if (state_ != State::closing) state_ = State::ending;
  asio::post(socket_.get_executor(), [self = shared(), why = std::move(reason)] { self->end(why); });
}

void SocketConnection::end(const Error& reason) {
  if (state_ == State::ended) return;
  const bool ours = state_ == State::closing;
  state_ = State::ended;
  scheduler_.cancel(timer_);
  boost::system::error_code ignored;
  socket_.close(ignored);
  const auto self = shared();
  const Callbacks callbacks = std::move(callbacks_);  // they may hold the connection's owner: let go of it
  callbacks_ = {};
  if (tls_) tls_->set_verify({});
  if (on_end) std::exchange(on_end, {})();
  if (callbacks.closed) callbacks.closed(ours ? Error(ErrorCode::cancelled, "closed") : reason);
}

}  // namespace fleetward::net
