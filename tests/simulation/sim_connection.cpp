#include "simulation/sim_connection.hpp"

namespace fleetward::simulation {
namespace {

Error broken() { return {ErrorCode::unavailable, "the connection was reset"}; }
Error closed_by_us() { return {ErrorCode::cancelled, "closed"}; }

}  // namespace

void SimConnection::write(ByteView bytes) {
  if (state_ != State::open) return;
  if (is_server && network_.on_server_write) network_.on_server_write({loop_, number_, client_certificate, bytes});
  out_.append(as_text(bytes));
  if (std::exchange(flush_posted_, true)) return;
  loop_.post([self = shared()] {
    self->flush_posted_ = false;
    self->flush();
  });
}

// In one or two pieces: a packet may be cut anywhere.
void SimConnection::flush() {
  const auto to = other.lock();
  Choice& choice = network_.universe_.choice();
  if (!to || out_.empty() || state_ == State::ended) return;
  if (choice.one_in(network_.faults_.half_open_one_in)) is_half_open = to->is_half_open = true;
  if (choice.one_in(network_.faults_.break_one_in)) {
    out_.clear();
    to->deliver(network_.late(), [](SimConnection& c) { c.end(broken()); });
    deliver(network_.late(), [](SimConnection& c) { c.end(broken()); });
    return;
  }
  std::string rest = std::exchange(out_, {});
  if (rest.size() > 1 && choice.one_in(4)) {
    const auto cut = static_cast<std::size_t>(choice.between(1, static_cast<std::int64_t>(rest.size()) - 1));
    to->deliver(network_.late(), [piece = rest.substr(0, cut)](SimConnection& c) { c.receive(as_bytes(piece)); });
    rest.erase(0, cut);
  }
  to->deliver(network_.late(), [rest](SimConnection& c) { c.receive(as_bytes(rest)); });
}

void SimConnection::deliver(Millis late, std::function<void(SimConnection&)> what) {
  if (is_half_open) return;
  last_arrival_ = std::max(last_arrival_, network_.universe_.now() + late);
  loop_.call_after(last_arrival_ - network_.universe_.now(), [self = shared(), what = std::move(what)] {
    if (self->state_ != State::ended && !self->is_half_open) what(*self);
  });
}

void SimConnection::receive(ByteView bytes) {
  if (state_ == State::closing || state_ == State::ending) return;
  in_.append(as_text(bytes));
  hand_on();
}

void SimConnection::hand_on() {
  if (paused_ || in_.empty() || state_ != State::open) return;
  const auto self = shared();
  const std::string bytes = std::exchange(in_, {});
  if (callbacks_.data) callbacks_.data(as_bytes(bytes));
}

void SimConnection::resume_reading() {
  if (!std::exchange(paused_, false)) return;
  loop_.post([self = shared()] { self->hand_on(); });
}

void SimConnection::tell_other(const Error& why) {
  if (const auto to = other.lock()) to->deliver(network_.late(), [why](SimConnection& c) { c.end(why); });
}

void SimConnection::close() {
  if (state_ == State::ended || state_ == State::ending || state_ == State::closing) return;
  if (state_ == State::open) flush();
  state_ = State::closing;
  tell_other({ErrorCode::unavailable, "the peer closed the connection"});
  loop_.post([self = shared()] { self->end(closed_by_us()); });
}

void SimConnection::abort() {
  if (state_ == State::ended || state_ == State::ending) return;
  if (state_ != State::closing) state_ = State::ending;
  tell_other(broken());
  loop_.post([self = shared()] { self->end({ErrorCode::cancelled, "aborted"}); });
}

void SimConnection::arm_handshake(Millis limit) {
  timer_ = loop_.call_after(limit, [self = shared()] {
    if (self->state_ == State::handshaking) self->end({ErrorCode::deadline_exceeded, "the handshake took too long"});
  });
}

void SimConnection::opened(const net::TlsInfo& info) {
  if (state_ != State::handshaking) return;
  loop_.cancel(timer_);
  state_ = State::open;
  const auto self = shared();
  if (callbacks_.open) callbacks_.open(info);
  hand_on();
}

net::PeerVerdict SimConnection::judge(ByteView certificate) {
  return callbacks_.verify_peer ? callbacks_.verify_peer(certificate) : net::PeerVerdict::accept;
}

void SimConnection::end(const Error& why) {
  if (state_ == State::ended) return;
  const bool ours = state_ == State::closing;
  state_ = State::ended;
  loop_.cancel(timer_);
  const auto self = shared();
  if (counted) --*counted;
  network_.connections_.erase(number_);
  const Callbacks callbacks = std::exchange(callbacks_, {});
  if (callbacks.closed) callbacks.closed(ours ? closed_by_us() : why);
}

// Its loop is dead, so nothing that the owner does at this can be seen: but owner and connection let go of each other.
void SimConnection::vanish() {
  const auto self = shared();
  state_ = State::ended;
  if (counted) --*counted;
  const Callbacks dropped = std::exchange(callbacks_, {});
  if (dropped.closed && loop_.is_dead()) dropped.closed({ErrorCode::cancelled, "the process has died"});
}

}  // namespace fleetward::simulation
