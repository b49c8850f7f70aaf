// A server's bytes at the client's side of MQTT: however they are cut into reads, the same calls and the same answer
// come of them, what is said is whole packets, and what is acknowledged was sent to us.
#include <set>
#include <vector>

#include "fuzz/target.hpp"
#include "mqtt/client_session.hpp"

namespace fleetward::fuzz {
namespace {

constexpr mqtt::SteadyTime start{1'000'000'000};

class Hearer : public mqtt::ClientSession::Handler {
 public:
  explicit Hearer(bool late) : late_(late) {}
  void on_ready(bool session_present) override { heard(fmt::format("ready {}", session_present)); }
  void on_publish(const mqtt::Publish& packet) override {
    heard(fmt::format("publish {} {} {} {}", printable(packet.topic), packet.qos, packet.packet_id,
                      packet.payload.size()));
    if (packet.qos == 0) return;
    ids.insert(packet.packet_id);
    if (late_) unanswered.push_back(packet.packet_id);
    else session->acknowledge(packet.packet_id);
  }
  void on_end(const mqtt::Failure& failure, bool by_server) override {
    heard(fmt::format("end {} {:#04x}", by_server, failure.reason_code));
    expect(is_utf8(failure.text), "the reason can be shown");
    has_ended = true;
  }

  mqtt::ClientSession* session = nullptr;
  std::vector<std::string> events;
  std::vector<std::uint16_t> unanswered;
  std::set<std::uint16_t> ids;
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
};

void check_output(std::string_view output, const std::set<std::uint16_t>& ids) {
  ByteView rest = as_bytes(output);
  while (!rest.empty()) {
    mqtt::Failure failure;
    const auto frame = mqtt::next_frame(rest, 1 << 20, failure);
    expect(frame.has_value(), "what is said is whole packets: " + to_hex(rest));
    if (frame->type == mqtt::PacketType::puback) {
      const auto packet = mqtt::decode_acknowledgement(*frame, mqtt::Version::v5, failure);
      expect(packet && ids.contains(packet->packet_id), "only what came is acknowledged");
    }
    rest = rest.subspan(frame->whole.size());
  }
}

Outcome converse(std::string_view bytes, std::optional<std::uint8_t> seed, bool late) {
  mqtt::ClientOptions options;
  options.client_id = "c";
  options.filters = {"$share/g/a/#"};
  options.receive_maximum = 3;
  options.packet_bytes_max = 1024;
  Hearer hearer(late);
  mqtt::ClientSession session(hearer, options, start);
  hearer.session = &session;
  const auto feed = [&](std::string_view piece) {
    session.feed(as_bytes(piece), start);
    if (late) {
      auto waiting = std::exchange(hearer.unanswered, {});
      for (auto at = waiting.rbegin(); at != waiting.rend(); ++at) session.acknowledge(*at);
    }
    expect(session.unacknowledged() <= 65'535, "what is not acknowledged is bounded");
  };
  if (seed) {
    Pieces pieces(bytes, *seed);
    for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) feed(piece);
  } else {
    feed(bytes);
  }
  session.on_time(start + std::chrono::hours(1));
  session.on_time(start + std::chrono::hours(2));
  expect(session.ended(), "a server that says nothing more is given up");
  Outcome out{std::move(hearer.events), session.take_output()};
  check_output(out.output, hearer.ids);
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
