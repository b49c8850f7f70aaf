#include "repository/migrations.hpp"

#include "repository/schema_actions.hpp"
#include "repository/schema_audit.hpp"
#include "repository/schema_authorities.hpp"
#include "repository/schema_certificates.hpp"
#include "repository/schema_dead_letters.hpp"
#include "repository/schema_dimensions.hpp"
#include "repository/schema_gateways.hpp"
#include "repository/schema_governor.hpp"
#include "repository/schema_incidents.hpp"
#include "repository/schema_months.hpp"
#include "repository/schema_outbox.hpp"
#include "repository/schema_registry.hpp"
#include "repository/schema_violations.hpp"

namespace fleetward::repository {

const std::vector<store::Migration>& all_migrations() {
  static const std::vector<store::Migration> steps = {
      {1, "outbox", schema_outbox},
      {2, "registry", schema_registry},
      {3, "certificates", schema_certificates},
      {4, "actions", schema_actions},
      {5, "incidents", schema_incidents},
      {6, "violations", schema_violations},
      {7, "audit", schema_audit},
      {8, "governor", schema_governor},
      {9, "gateways", schema_gateways},
      {10, "dimensions", schema_dimensions},
      {11, "authorities", schema_authorities},
      {12, "dead letters", schema_dead_letters},
      {13, "months", "", schema_months},
  };
  return steps;
}

}  // namespace fleetward::repository
