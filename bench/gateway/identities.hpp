// An authority, a server's certificate and many devices', as files that our gateway, mosquitto and the load client
// read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace fleetward::bench {

struct DeviceIdentity {
  std::string thing;
  std::string certificate_pem;
};

struct Identities {
  std::string ca_pem;      // root and issuing authority
  std::string issuer_pem;  // who issued the devices' certificates
  std::string server_chain_pem;
  std::string server_key_pem;
  std::vector<DeviceIdentity> devices;
};

// What `folder` holds, made first where it is missing: ca.pem, issuer.pem, server.pem, server.key, devices/NAME/{cert,
// key}.pem. Takes about 0.3 ms a device.
Result<Identities> load_or_make(const std::filesystem::path& folder, std::size_t devices);

}  // namespace fleetward::bench
