// The gateway alone, over the memory bus or the embedded log, with devices that it knows: what the load is put on.
//
// usage: bench_gateway memory|embedded FOLDER DEVICES. FOLDER gets the identities (see identities.hpp) and the log.
// Prints one JSON line when it listens, and ends with its standard input.
#include <fmt/format.h>

#include <charconv>
#include <future>
#include <iostream>

#include "bus/embedded_bus.hpp"
#include "fleet/access.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "identities.hpp"
#include "pki/certificate.hpp"
#include "services/gateway/gateway.hpp"

namespace fleetward::bench {
namespace {

constexpr std::size_t records_per_append = 500;
// The memory bus forgets what is older, or it would measure how fast a process can grow.
constexpr Millis log_kept{1'000};
constexpr Millis clean_every{250};

Result<bus::OutRecord> certificate_record(const DeviceIdentity& device, const std::string& issuer) {
  const auto info = pki::read_certificate(device.certificate_pem);
  if (!info) return info.error();
  fleet::CertificateRecord r;
  r.fingerprint = info->fingerprint;
  r.thing = device.thing;
  r.thing_id = "id-" + device.thing;
  r.issuer = issuer;
  r.serial = info->serial;
  r.not_after = info->not_after;
  r.version = 1;
  const fleet::CloudEvent event{"certificate." + r.fingerprint,
                                "/bench",
                                std::string(fleet::event_type::certificate),
                                r.fingerprint,
                                Instant{},
                                to_json(r)};
  return bus::OutRecord{std::string(fleet::topic::certificates),
                        r.fingerprint,
                        fleet::to_json_text(event),
                        {{std::string(fleet::header::version), "1"}},
                        std::nullopt};
}

Status append_and_wait(bus::Bus& bus, std::vector<bus::OutRecord> records) {
  std::promise<Status> done;
  bus.append(std::move(records),
             [&done](const auto& result) { done.set_value(result ? Status() : Status(result.error())); });
  return done.get_future().get();
}

Status fill(bus::Bus& bus, const Identities& identities) {
  std::vector<bus::TopicSpec> topics;
  for (const fleet::TopicInfo& t : fleet::all_topics) {
    topics.push_back({std::string(t.name), 4, t.is_table ? bus::TopicKind::table : bus::TopicKind::log, log_kept});
  }
  if (const Status made = bus.ensure_topics(topics); !made) return made;
  const auto issuer = pki::read_certificate(identities.issuer_pem);
  if (!issuer) return issuer.error();
  std::vector<bus::OutRecord> records;
  for (const DeviceIdentity& device : identities.devices) {
    auto record = certificate_record(device, issuer->fingerprint);
    if (!record) return record.error();
    records.push_back(std::move(*record));
    if (records.size() < records_per_append) continue;
    if (const Status s = append_and_wait(bus, std::exchange(records, {})); !s) return s;
  }
  return records.empty() ? Status() : append_and_wait(bus, std::move(records));
}

gateway::GatewayConfig config_for(const Identities& identities) {
  gateway::GatewayConfig config;
  config.address = "127.0.0.1";
  config.port = 0;
  config.certificate_chain_pem = identities.server_chain_pem;
  config.private_key_pem = identities.server_key_pem;
  config.client_ca_pem = identities.ca_pem;
  // What is measured is what the gateway can do: a few devices from one address do all of it.
  config.connection_limits.connections = config.connection_limits.address_connections = {};
  config.connection_limits.device_connections = {};
  config.messages = config.bytes = {};
  config.session.messages = config.session.bytes = {};
  return config;
}

Status serve(const std::string& kind, const std::string& folder, std::size_t devices) {
  const auto identities = load_or_make(folder, devices);
  if (!identities) return identities.error();
  metrics::Registry metrics;
  async::LoopThread loop("gateway");
  std::unique_ptr<bus::Bus> bus;
  if (kind == "memory") {
    bus::LocalBusOptions options;
    options.clean_every = clean_every;
    bus = bus::make_memory_bus(loop, metrics, options);
  } else {
    auto opened = bus::open_embedded_bus(folder + "/bus.db", metrics);
    if (!opened) return opened.error();
    bus = std::move(*opened);
  }
  if (const Status filled = fill(*bus, *identities); !filled) return filled;
  gateway::Gateway gateway(config_for(*identities), *bus, loop, metrics);
  if (const Status started = gateway.start(); !started) return started;
  while (!gateway.ready().ok()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::cout << fmt::format(R"({{"event":"ready","port":{}}})", gateway.port()) << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  gateway.stop(Millis(5'000));
  return {};
}

}  // namespace
}  // namespace fleetward::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::size_t devices = 0;
  if (words.size() == 3) std::from_chars(words[2].data(), words[2].data() + words[2].size(), devices);
  if (devices == 0 || (words[0] != "memory" && words[0] != "embedded")) {
    std::cerr << "usage: bench_gateway memory|embedded FOLDER DEVICES\n";
    return 2;
  }
  const auto done = fleetward::bench::serve(words[0], words[1], devices);
  if (!done) std::cerr << "bench_gateway: " << done.error().message << "\n";
  return done ? 0 : 1;
}
