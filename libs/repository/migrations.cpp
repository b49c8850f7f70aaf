#include "repository/migrations.hpp"

#include "repository/schema_outbox.hpp"

namespace fleetward::repository {

const std::vector<store::Migration>& all_migrations() {
  static const std::vector<store::Migration> steps = {
      {1, "outbox", schema_outbox},
  };
  return steps;
}

}  // namespace fleetward::repository
