#include "services/gateway/connection_guard.hpp"

#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "core/text.hpp"

namespace fleetward::gateway {
namespace {

constexpr SteadyTime sweep_every = std::chrono::seconds(1);

// Makes room when there is none, at most once in a while: a sweep looks at all of them.
template <class Map, class AtRest>
bool has_room(Map& map, std::size_t max, SteadyTime& swept, SteadyTime now, const AtRest& at_rest) {
  if (map.size() < max) return true;
  if (now - swept < sweep_every && swept != SteadyTime(0)) return false;
  swept = now;
  std::erase_if(map, [&](const auto& e) { return at_rest(e.second); });
  return map.size() < max;
}

}  // namespace

std::string limited_part(std::string_view address) {
  std::array<std::uint8_t, 16> bytes{};
  const std::string text(address.substr(0, address.find('%')));  // without a zone
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return text;
  static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  if (std::memcmp(bytes.data(), mapped.data(), mapped.size()) == 0)
    return fmt::format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
  return to_hex(ByteView(bytes).first(8));
}

ConnectionGuard::Address& ConnectionGuard::entry(const std::string& address, SteadyTime now) {
  const std::string part = limited_part(address);
  if (const auto found = addresses_.find(part); found != addresses_.end()) return found->second;
  const auto at_rest = [now](const Address& a) { return a.is_at_rest(now); };
  if (!has_room(addresses_, limits_.addresses_max, addresses_swept_, now, at_rest)) return shared_address_;
  return addresses_[part];
}

std::string_view ConnectionGuard::admit(const std::string& address, SteadyTime now) {
  Address& from = entry(address, now);
  if (!from.failures.has(limits_.address_failures, 1, now)) return "address-failures";
  if (from.handshakes >= limits_.address_handshakes_max) return "address-handshakes";
  if (handshakes_ >= limits_.handshakes_max) return "handshakes-max";
  if (!from.connections.take(limits_.address_connections, 1, now)) return "address-rate";
  if (!connections_.take(limits_.connections, 1, now)) return "connection-rate";
  ++from.handshakes;
  ++handshakes_;
  return {};
}

void ConnectionGuard::over(const std::string& address, bool succeeded, SteadyTime now) {
  Address& from = entry(address, now);
  // Where it was counted in the shared entry and has one of its own by now, that one has nothing to give back.
  if (from.handshakes > 0) {
    --from.handshakes;
  } else if (shared_address_.handshakes > 0) {
    --shared_address_.handshakes;
  }
  if (handshakes_ > 0) --handshakes_;
  if (!succeeded) from.failures.take(limits_.address_failures, 1, now);
}

bool ConnectionGuard::connects(const std::string& thing, SteadyTime now) {
  auto found = things_.find(thing);
  if (found == things_.end()) {
    const auto at_rest = [now](const mqtt::TokenBucket& b) { return b.is_full(now); };
    if (!has_room(things_, limits_.things_max, things_swept_, now, at_rest))
      return shared_thing_.take(limits_.device_connections, 1, now);
    found = things_.try_emplace(thing).first;
  }
  return found->second.take(limits_.device_connections, 1, now);
}

}  // namespace fleetward::gateway
