// Security profiles, their targets, custom metrics: the only code that writes their tables. All functions
// run inside a store transaction. Every change writes the profile's new immutable version and a manifest, which says
// what holds together from now on, onto topic `rules`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/profile.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {

constexpr std::size_t profiles_per_target_max = 5;

struct ProfileRow {
  fleet::SecurityProfile profile;
  Instant created;
  Instant modified;
};

// `profile.version` is ignored. The same again is no error; another one of that name already_exists.
Result<ProfileRow> create_profile(store::Transaction& tx, fleet::SecurityProfile profile, Instant now);
// not_found; conflict when `expected_version` is given and not the one there. An equal profile keeps its version.
Result<ProfileRow> update_profile(store::Transaction& tx, fleet::SecurityProfile profile,
                                  std::optional<std::int64_t> expected_version, Instant now);
Status delete_profile(store::Transaction& tx, const std::string& name, std::optional<std::int64_t> expected_version,
                      Instant now);
Result<std::optional<ProfileRow>> find_profile(store::Transaction& tx, const std::string& name);
Result<ProfileRow> get_profile(store::Transaction& tx, const std::string& name);  // not_found
Result<std::vector<ProfileRow>> list_profiles(store::Transaction& tx, const std::string& after, std::int64_t limit);

// Whether a behavior is of that metric and dimension, or with no metric said a metric to retain of that dimension;
// empty: any.
bool uses(const fleet::SecurityProfile& profile, const std::string& metric, const std::string& dimension);
// failed_precondition, by the name of `what`, while a profile uses it, attached or not.
Status check_unused(store::Transaction& tx, std::string_view what, const std::string& metric,
                    const std::string& dimension);
// Again is no error; resource_exhausted beyond profiles_per_target_max.
Status attach_profile(store::Transaction& tx, const std::string& name, const fleet::Target& target, Instant now);
Status detach_profile(store::Transaction& tx, const std::string& name, const fleet::Target& target, Instant now);
// Those with a target, by name: what a manifest has of profiles.
Result<std::vector<fleet::Manifest::Entry>> attached_profiles(store::Transaction& tx);
Result<std::vector<fleet::Target>> targets_of(store::Transaction& tx, const std::string& name);
struct Attachment {
  fleet::Target target;
  std::string profile;
};
// What is attached to the target, with `recursive` also to the groups below it: by target, then by profile, those after
// `after`.
Result<std::vector<Attachment>> attached_to(store::Transaction& tx, const fleet::Target& target, bool recursive,
                                            const std::optional<Attachment>& after, std::int64_t limit);
// Makes the profile and its targets what they are to be, in one manifest. Idempotent.
Result<ProfileRow> apply_profile(store::Transaction& tx, fleet::SecurityProfile profile,
                                 const std::vector<fleet::Target>& targets, Instant now);

struct CustomMetricRow {
  fleet::CustomMetric metric;
  Instant created;
  Instant modified;
};
Result<CustomMetricRow> create_custom_metric(store::Transaction& tx, const fleet::CustomMetric& metric, Instant now);
Result<std::optional<CustomMetricRow>> find_custom_metric(store::Transaction& tx, const std::string& name);
Result<std::vector<CustomMetricRow>> list_custom_metrics(store::Transaction& tx, const std::string& after,
                                                         std::int64_t limit);
// failed_precondition while a profile uses it; a missing one is no error.
Status delete_custom_metric(store::Transaction& tx, const std::string& name, Instant now);

}  // namespace fleetward::repository
