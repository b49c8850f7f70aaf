#include "net/resolve.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <array>

namespace fleetward::net {
namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t addresses_max = 16;

using Answer = Result<std::vector<std::string>>;

class Resolution : public std::enable_shared_from_this<Resolution> {
 public:
  Resolution(async::Scheduler& scheduler, std::function<void(Answer)> done)
      : scheduler_(scheduler), resolver_(scheduler.executor()), done_(std::move(done)) {}

  void start(const std::string& host, Millis limit) {
    const auto self = shared_from_this();
    timer_ = scheduler_.call_after(limit, [self] {
      self->timer_ = async::no_timer;
      self->finish(Error(ErrorCode::deadline_exceeded, "the name was not resolved in time"));
    });
    resolver_.async_resolve(host, "", [self](const auto& error, const auto& results) {
      if (error) return self->finish(Error(ErrorCode::unavailable, "cannot resolve the name: " + error.message()));
      std::vector<std::string> addresses;
      for (const auto& entry : results) {
        if (addresses.size() < addresses_max) addresses.push_back(entry.endpoint().address().to_string());
      }
      if (addresses.empty()) return self->finish(Error(ErrorCode::unavailable, "the name has no address"));
      self->finish(std::move(addresses));
    });
  }

 private:
  void finish(Answer answer) {
    if (!done_) return;
    const auto done = std::exchange(done_, {});
    if (timer_ != async::no_timer) scheduler_.cancel(timer_);
    resolver_.cancel();
    done(std::move(answer));
  }

  async::Scheduler& scheduler_;
  ip::tcp::resolver resolver_;
  std::function<void(Answer)> done_;
  async::TimerId timer_ = async::no_timer;
};

struct Range4 {
  std::uint32_t network;
  int bits;
};

// RFC 6890 and its registry: what is not globally reachable, and what is for many at once.
constexpr std::array<Range4, 15> special4{{{0x00000000, 8},
                                           {0x0A000000, 8},
                                           {0x64400000, 10},
                                           {0x7F000000, 8},
                                           {0xA9FE0000, 16},
                                           {0xAC100000, 12},
                                           {0xC0000000, 24},
                                           {0xC0000200, 24},
                                           {0xC0586300, 24},
                                           {0xC0A80000, 16},
                                           {0xC6120000, 15},
                                           {0xC6336400, 24},
                                           {0xCB007100, 24},
                                           {0xE0000000, 4},
                                           {0xF0000000, 4}}};

bool is_public(const ip::address_v4& address) {
  for (const Range4& range : special4) {
    if ((address.to_uint() ^ range.network) >> (32 - range.bits) == 0) return false;
  }
  return true;
}

bool starts_with(const ip::address_v6::bytes_type& address, std::initializer_list<std::uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

// Only 2000::/3 is in use for the public; of it IETF's own block, documentation and 6to4 are not for us.
bool is_public(const ip::address_v6& address) {
  if (address.is_v4_mapped()) return is_public(ip::make_address_v4(ip::v4_mapped, address));
  const auto bytes = address.to_bytes();
  if ((bytes[0] & 0xE0) != 0x20) return false;
  const bool ietf = starts_with(bytes, {0x20, 0x01}) && bytes[2] < 2;  // 2001::/23, Teredo in it
  const bool documentation =
      starts_with(bytes, {0x20, 0x01, 0x0D, 0xB8}) || (starts_with(bytes, {0x3F, 0xFF}) && bytes[2] < 0x10);
  const bool six_to_four = starts_with(bytes, {0x20, 0x02});
  return !ietf && !documentation && !six_to_four;
}

}  // namespace

async::Task<Answer> resolve(async::Scheduler& scheduler, std::string host, Millis limit) {
  boost::system::error_code not_an_address;
  ip::make_address(host, not_an_address);
  if (!not_an_address) co_return Answer(std::vector<std::string>{host});
  std::function<void(std::function<void(Answer)>)> start = [&](std::function<void(Answer)> done) {
    std::make_shared<Resolution>(scheduler, std::move(done))->start(host, limit);
  };
  Answer answer = co_await async::from_callback<Answer>(scheduler, start);
  co_return answer;
}

bool is_public_address(const std::string& text) {
  boost::system::error_code bad;
  const auto address = ip::make_address(text, bad);
  if (bad) return false;
  return address.is_v4() ? is_public(address.to_v4()) : is_public(address.to_v6());
}

}  // namespace fleetward::net
