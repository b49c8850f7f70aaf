// Who can write to the topics of access and certificates, and holds no key that may: makes records of its own there,
// moves and replays true ones, and deletes.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "access/record_signature.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/universe.hpp"
#include "store/store.hpp"

namespace fleetward::simulation {

// By which all roles of the simulation sign what they decide, and by whom gateways go.
std::shared_ptr<const store::Signer> deciding_signer();
std::shared_ptr<const access::Signers> record_signers();
// Whether a role has signed the record, which has a value.
bool is_signed(const bus::Record& record);

class Forger {
 public:
  explicit Forger(Universe& universe) : universe_(universe) {}

  void on_write(const Written& written);
  // Nothing while there is nothing to begin with.
  std::optional<bus::OutRecord> next();
  [[nodiscard]] int forged() const { return forged_; }

 private:
  [[nodiscard]] const bus::Record& some(const std::vector<bus::Record>& records);
  [[nodiscard]] std::string changed(const bus::Record& record, std::int64_t version);

  Universe& universe_;
  std::vector<bus::Record> seen_;  // true ones
  int forged_ = 0;
};

}  // namespace fleetward::simulation
