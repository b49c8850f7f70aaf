// A client's bytes at the server's side of MQTT: however they are cut into reads, the same calls and the same answer
// come of them, and the answer is whole packets.
#include <map>
#include <vector>

#include "fuzz/target.hpp"
#include "mqtt/server_session.hpp"

namespace fleetward::fuzz {
namespace {

constexpr mqtt::SteadyTime start{1'000'000'000};

// Decides by what it is asked alone, and writes down what it hears.
class Recorder : public mqtt::ServerSession::Handler {
 public:
  explicit Recorder(bool late) : late_(late) {}
  void on_connect(const mqtt::Connect& packet) override {
    heard(fmt::format("connect {} {}", printable(packet.client_id), packet.keep_alive_seconds));
    if (packet.client_id.starts_with("no")) return session->refuse(mqtt::reason::banned, {{"why", "not"}});
    if (late_) is_deciding = true;
    else session->accept();
  }
  void on_publish(const mqtt::Publish& packet) override {
    heard(fmt::format("publish {} {} {}", printable(packet.topic), packet.qos, packet.payload.size()));
    if (packet.qos == 0) return;
    if (late_) unanswered.push_back(packet.packet_id);
    else session->acknowledge(packet.packet_id, packet.payload.size() % 2 == 0 ? 0 : mqtt::reason::not_authorized);
  }
  std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) override {
    heard(fmt::format("subscribe {} {}", printable(filter), qos));
    if (filter.starts_with("no")) return mqtt::reason::not_authorized;
    filters.emplace_back(filter);
    return qos;
  }
  void on_unsubscribe(std::string_view filter) override { heard(fmt::format("unsubscribe {}", printable(filter))); }
  void on_end(const mqtt::Failure& failure, bool by_client) override {
    heard(fmt::format("end {} {:#04x}", by_client, failure.reason_code));
    has_ended = true;
  }

  mqtt::ServerSession* session = nullptr;
  std::vector<std::string> events;
  std::vector<std::string> filters;
  std::vector<std::uint16_t> unanswered;
  bool is_deciding = false;
  bool has_ended = false;

 private:
  void heard(std::string event) {
    expect(!has_ended, "nothing is heard after the end: " + event);
    events.push_back(std::move(event));
  }
  bool late_;
};

struct Outcome {
  std::vector<std::string> events;
  std::string output;
  bool ended = false;
};

mqtt::SessionLimits small_limits() {
  mqtt::SessionLimits limits;
  limits.packet_bytes_max = 1024;
  limits.receive_maximum = 4;
  limits.unacknowledged_max_311 = 8;
  limits.subscriptions_max = 4;
  limits.outbound_max = 3;
  return limits;
}

void expect_whole_packets(std::string_view output) {
  ByteView rest = as_bytes(output);
  while (!rest.empty()) {
    mqtt::Failure failure;
    const auto frame = mqtt::next_frame(rest, 1 << 20, failure);
    expect(frame.has_value(), "the answer is whole packets: " + to_hex(rest));
    rest = rest.subspan(frame->whole.size());
  }
}

void check_limits(const mqtt::ServerSession& session) {
  const mqtt::SessionLimits limits = small_limits();
  expect(session.unacknowledged() <= std::max<std::size_t>(limits.receive_maximum, limits.unacknowledged_max_311),
         "unacknowledged publishes are bounded");
}

Outcome converse(std::string_view bytes, std::optional<std::uint8_t> seed, bool late) {
  Recorder recorder(late);
  mqtt::ServerSession session(recorder, small_limits(), start);
  recorder.session = &session;
  const auto answer_late = [&] {
    if (std::exchange(recorder.is_deciding, false)) session.accept();
    // In another order than they came.
    for (const std::uint16_t id : std::exchange(recorder.unanswered, {})) session.acknowledge(id);
    check_limits(session);
  };
  if (seed) {
    Pieces pieces(bytes, *seed);
    for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
      session.feed(as_bytes(piece), start);
      if (late) answer_late();
    }
  } else {
    session.feed(as_bytes(bytes), start);
    if (late) answer_late();
  }
  check_limits(session);
  for (const std::string& filter : recorder.filters) {
    for (int i = 0; i < 4; ++i) session.publish(filter, "reply");
  }
  session.on_time(start + std::chrono::hours(1));
  session.disconnect(mqtt::reason::server_shutting_down, "over");
  Outcome out{std::move(recorder.events), session.take_output(), session.ended()};
  expect(out.ended, "it has ended");
  expect_whole_packets(out.output);
  return out;
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward::fuzz;
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  const Outcome whole = converse(input.rest(), std::nullopt, false);
  const Outcome pieces = converse(input.rest(), seed, false);
  expect(whole.events == pieces.events, fmt::format("calls are the same whatever the pieces:\n  {}\nand\n  {}",
                                                    fmt::join(whole.events, "\n  "), fmt::join(pieces.events, "\n  ")));
  expect(whole.output == pieces.output, "the answer is the same whatever the pieces");
  converse(input.rest(), seed, true);
  return 0;
}
