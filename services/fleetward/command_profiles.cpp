// profiles validate, apply, list.
#include <fmt/format.h>

#include <algorithm>

#include "config/suggest.hpp"
#include "config/yaml.hpp"
#include "core/text.hpp"
#include "detect/validate.hpp"
#include "fleet/profile.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

// A profile file: the members of a security profile as the API has them, `targets`, and the `dimensions` that it needs:
// {NAME: [TOPIC FILTER, ...]}.
struct ProfileFile {
  fleet::SecurityProfile profile;
  json::Value body;  // what PUT /v1/profiles/NAME takes
  std::vector<fleet::Dimension> dimensions;
};

// A mistyped member would be left out silently, and the profile would watch less than its author thinks.
Status refuse_unknown_members(const config::YamlDocument& document) {
  static const std::vector<std::string> known{"securityProfileName", "securityProfileDescription",
                                              "behaviors",           "additionalMetricsToRetainV2",
                                              "alertTargets",        "targets",
                                              "dimensions"};
  for (const auto& [member, value] : document.value.items()) {
    if (std::find(known.begin(), known.end(), member) != known.end()) continue;
    const config::YamlPlace place = document.place_of("/" + member);
    return {ErrorCode::invalid_argument, fmt::format("line {}, column {}: there is no member '{}'{}", place.line,
                                                     place.column, member, config::suggestion(member, known))};
  }
  return {};
}

Result<std::vector<fleet::Dimension>> read_dimensions(const json::Value& value) {
  const auto wrong = [](std::string_view what) { return Error(ErrorCode::invalid_argument, std::string(what)); };
  if (!value.is_object()) return wrong("dimensions is not a map from names to lists of topic filters");
  std::vector<fleet::Dimension> out;
  for (const auto& [name, filters] : value.items()) {
    if (!fleet::is_valid_name(name)) return wrong(fmt::format("dimensions: '{}' is no name", printable(name, 128)));
    json::Reader r(value, "dimensions");
    fleet::Dimension dimension{name, 1, r.texts_or_empty(name)};
    if (const Status status = r.finish(); !status) return status.error();
    if (const Status good = fleet::check_topic_filters(dimension.topic_filters); !good) {
      return good.error().with_context("dimensions: " + name);
    }
    out.push_back(std::move(dimension));
  }
  return out;
}

Result<ProfileFile> read_profile(const std::string& path) {
  Result<config::YamlDocument> document = config::read_yaml_file(path);
  if (!document) return document.error();
  if (!document->value.is_object()) return {ErrorCode::invalid_argument, path + ": is not a profile"};
  if (const Status known = refuse_unknown_members(*document); !known) return known.error().with_context(path);
  ProfileFile file;
  json::Value shape = document->value;
  json::Value targets = json::Value::array();
  if (shape.contains("targets")) {
    targets = shape["targets"];
    shape.erase("targets");
  }
  if (shape.contains("dimensions")) {
    auto dimensions = read_dimensions(shape["dimensions"]);
    if (!dimensions) return dimensions.error().with_context(path);
    file.dimensions = std::move(*dimensions);
    shape.erase("dimensions");
  }
  Result<fleet::SecurityProfile> profile = fleet::profile_from_json(shape, "");
  if (!profile) return profile.error().with_context(path);
  file.profile = std::move(*profile);
  file.body = std::move(shape);
  file.body.erase("securityProfileName");
  file.body["targets"] = std::move(targets);
  return file;
}

// Custom metrics are defined on the server, which is not asked here: each is taken to be of the type its value has.
std::vector<fleet::CustomMetric> custom_metrics_of(const fleet::SecurityProfile& profile) {
  std::vector<fleet::CustomMetric> metrics;
  for (const fleet::Behavior& behavior : profile.behaviors) {
    if (behavior.metric.empty() || behavior.metric.starts_with("aws:")) continue;
    fleet::CustomMetric metric{.name = behavior.metric};
    if (behavior.criteria && behavior.criteria->value) {
      const fleet::MetricValue& value = *behavior.criteria->value;
      if (value.numbers) metric.type = fleet::CustomMetricType::number_list;
      if (value.strings) metric.type = fleet::CustomMetricType::string_list;
      if (value.cidrs) metric.type = fleet::CustomMetricType::ip_address_list;
    }
    metrics.push_back(std::move(metric));
  }
  return metrics;
}

// Those of the file, and those that the server may have: each that is named is taken to be there.
std::vector<std::string> dimensions_of(const fleet::SecurityProfile& profile) {
  std::vector<std::string> names;
  for (const fleet::Behavior& b : profile.behaviors) {
    if (b.dimension) names.push_back(b.dimension->name);
  }
  for (const fleet::MetricToRetain& m : profile.additional_metrics_to_retain) {
    if (m.dimension) names.push_back(m.dimension->name);
  }
  return names;
}

std::vector<std::string> problems_of(const fleet::SecurityProfile& profile) {
  const std::vector<std::string> dimensions = dimensions_of(profile);
  auto problems = detect::validate_behaviors(profile.behaviors, custom_metrics_of(profile), dimensions);
  for (const fleet::MetricToRetain& m : profile.additional_metrics_to_retain) {
    for (std::string& problem : detect::validate_retained(m, dimensions)) problems.push_back(std::move(problem));
  }
  return problems;
}

ExitCode run_validate(Invocation& invocation) {
  ExitCode code = ExitCode::ok;
  for (const std::string& path : invocation.arguments()) {
    const Result<ProfileFile> file = read_profile(path);
    std::vector<std::string> problems;
    if (file) {
      for (const std::string& problem : problems_of(file->profile)) {
        problems.push_back(fmt::format("{}: {}", path, problem));
      }
    } else {
      problems.push_back(file.error().message);
    }
    if (problems.empty()) {
      invocation.out << fmt::format("{}: {} with {} behaviors is good\n", printable(path), file->profile.name,
                                    file->profile.behaviors.size());
      continue;
    }
    code = ExitCode::failed;
    for (const std::string& problem : problems) invocation.err << printable(problem, 16 * 1024) << "\n";
  }
  return code;
}

ExitCode run_apply(Invocation& invocation, ApiClient& api) {
  // All files are read before the first is applied, so that a mistake in one leaves everything as it was.
  std::vector<ProfileFile> files;
  for (const std::string& path : invocation.arguments()) {
    Result<ProfileFile> file = read_profile(path);
    if (!file) return invocation.fail(file.error());
    files.push_back(std::move(*file));
  }
  json::Value applied = json::Value::array();
  for (const ProfileFile& file : files) {
    for (const fleet::Dimension& d : file.dimensions) {
      const auto put = api.put("/v1/dimensions/" + percent_encode(d.name), {{"topicFilters", d.topic_filters}});
      if (!put) return invocation.fail(put.error().with_context("apply dimension " + d.name));
    }
    const std::string target = "/v1/profiles/" + percent_encode(file.profile.name);
    const Result<json::Value> answer = api.put(target, file.body);
    if (!answer) return invocation.fail(answer.error().with_context("apply " + file.profile.name));
    if (!invocation.wants_json()) {
      invocation.out << fmt::format("applied {} (version {})\n", file.profile.name, text_of(*answer, "version"));
    }
    applied.push_back(*answer);
  }
  if (invocation.wants_json()) invocation.out << json::dump_pretty(applied) << "\n";
  return ExitCode::ok;
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/profiles",
                        .member = "profiles",
                        .columns = {member_column("NAME", "securityProfileName"),
                                    member_column("VERSION", "version"),
                                    {"BEHAVIORS",
                                     [](const json::Value& profile) {
                                       const auto behaviors = profile.find("behaviors");
                                       return behaviors == profile.end() ? std::string()
                                                                         : std::to_string(behaviors->size());
                                     }},
                                    member_column("TARGETS", "targets")},
                        .when_empty = "No profiles yet. `fleetward profiles apply FILE` adds one."});
}

}  // namespace

Command profiles_validate_command() {
  return {.name = "profiles validate",
          .arguments = "FILE...",
          .summary = "Checks profile files without a server; tells every problem",
          .detail = "example: fleetward profiles validate deploy/demo/cameras.yaml",
          .arguments_min = 1,
          .arguments_max = 1000,
          .run = run_validate};
}

Command profiles_apply_command() {
  return {
      .name = "profiles apply",
      .arguments = "FILE...",
      .summary = "Makes the profiles and their targets be as the files say",
      .detail =
          "A file may define the dimensions that its behaviors name: `dimensions: {NAME: [TOPIC FILTER, ...]}`.\n"
          "Applying the same file again changes nothing.\nexample: fleetward profiles apply deploy/demo/cameras.yaml",
      .arguments_min = 1,
      .arguments_max = 1000,
      .run_with_api = run_apply};
}

Command profiles_list_command() {
  return {.name = "profiles list",
          .summary = "Lists security profiles and where they apply",
          .options = {limit_option()},
          .run_with_api = run_list};
}

}  // namespace fleetward::program
