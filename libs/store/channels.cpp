#include "store/channels.hpp"

namespace fleetward::store {
namespace {

class ChannelListener final : public Listener {
 public:
  ChannelListener(std::shared_ptr<Channels> channels, async::Scheduler& scheduler, std::string channel)
      : channels_(std::move(channels)), event_(std::make_shared<async::Event>(scheduler)) {
    channels_->add(std::move(channel), event_);
  }
  ~ChannelListener() override { channels_->remove(event_); }

  async::Task<bool> wait(Millis limit) override {
    const bool woken = co_await event_->wait(limit);
    co_return woken;
  }
  void wake() override { event_->notify(); }

 private:
  std::shared_ptr<Channels> channels_;
  std::shared_ptr<async::Event> event_;
};

}  // namespace

void Channels::notify(const std::set<std::string>& channels) {
  const std::lock_guard lock(mutex_);
  for (const std::string& channel : channels) {
    const auto [from, to] = events_.equal_range(channel);
    for (auto e = from; e != to; ++e) {
      if (const auto event = e->second.lock()) event->notify();
    }
  }
}

void Channels::add(std::string channel, const std::shared_ptr<async::Event>& event) {
  const std::lock_guard lock(mutex_);
  std::erase_if(events_, [](const auto& e) { return e.second.expired(); });
  events_.emplace(std::move(channel), event);
}

void Channels::remove(const std::shared_ptr<async::Event>& event) {
  const std::lock_guard lock(mutex_);
  std::erase_if(events_, [&event](const auto& e) { return e.second.lock() == event; });
}

std::unique_ptr<Listener> make_listener(std::shared_ptr<Channels> channels, async::Scheduler& scheduler,
                                        std::string channel) {
  return std::make_unique<ChannelListener>(std::move(channels), scheduler, std::move(channel));
}

}  // namespace fleetward::store
