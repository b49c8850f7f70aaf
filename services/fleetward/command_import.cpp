// things import, delete: fleets that exist already, and things that are no more.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/text.hpp"
#include "pki/certificate.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/import_file.hpp"
#include "services/fleetward/progress.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t problems_told_max = 100;

std::string thing_path(std::string_view name) { return "/things/" + percent_encode(name); }

struct Tally {
  std::size_t made = 0;
  std::size_t already = 0;
  std::size_t failed = 0;
};

class Importer {
 public:
  Importer(ApiClient& api, bool is_dry) : api_(api), is_dry_(is_dry) {}

  // True: the thing was not there before.
  Result<bool> take(const ImportRow& row) {
    const Result<json::Value> before = api_.get(thing_path(row.name));
    const bool is_new = !before && before.error().code == ErrorCode::not_found;
    if (!before && !is_new) return before.error();
    if (!is_new && !is_same(*before, row)) {
      return Error(ErrorCode::conflict, fmt::format("{} is there with another type or other attributes", row.name));
    }
    std::string principal;
    if (!row.certificate.empty()) {
      auto found = principal_of(row);
      if (!found) return found.error();
      principal = std::move(*found);
    }
    if (is_dry_) return is_new;
    if (is_new) {
      const Result<json::Value> made = api_.post(thing_path(row.name), body_of(row));
      if (!made) return made.error();
    }
    for (const std::string& group : row.groups) {
      if (const Status joined = join(row.name, group); !joined) return joined.error();
    }
    if (principal.empty()) return is_new;
    const Result<json::Value> attached = api_.call_for("PUT", thing_path(row.name) + "/principals", principal);
    if (!attached) return attached.error().with_context("certificate");
    return is_new;
  }

 private:
  static json::Value body_of(const ImportRow& row) {
    json::Value body = json::Value::object();
    if (!row.type.empty()) body["thingTypeName"] = row.type;
    if (!row.attributes.empty()) body["attributePayload"] = {{"attributes", row.attributes}};
    return body;
  }

  static bool is_same(const json::Value& thing, const ImportRow& row) {
    const auto attributes = thing.find("attributes");
    const json::Value wanted(row.attributes);
    const json::Value present =
        attributes == thing.end() || attributes->is_null() ? json::Value::object() : *attributes;
    return text_of(thing, "thingTypeName") == row.type &&
           (row.attributes.empty() ? present.empty() : present == wanted);
  }

  // One that is not known yet is taken in, when it is there and of a registered authority. A dry run only looks whose
  // it is.
  Result<std::string> principal_of(const ImportRow& row) {
    const Result<json::Value> known = api_.get("/certificates/" + row.certificate);
    if (known) return text_of(known->value("certificateDescription", json::Value()), "certificateArn");
    if (known.error().code != ErrorCode::not_found) return known.error();
    const Result<std::string> pem = certificate_of(row);
    if (!pem) return pem.error();
    if (pem->empty())
      return Error(
          ErrorCode::not_found,
          fmt::format("certificate {}… is not known: give its PEM (of an authority that is registered: fleetward "
                      "authorities register), or import the thing without it",
                      row.certificate.substr(0, 12)));
    if (is_dry_) return look_at(*pem);
    const Result<json::Value> made =
        api_.post("/certificate/register", {{"certificatePem", *pem}, {"status", "ACTIVE"}});
    if (!made) return made.error().with_context("certificate");
    return text_of(*made, "certificateArn");
  }

  Result<std::string> look_at(const std::string& pem) {
    if (!authorities_) {
      const Result<json::Value> list = api_.get("/v1/authorities");
      if (!list) return list.error();
      authorities_.emplace();
      const json::Value all = list->value("authorities", json::Value::array());
      for (const json::Value& a : all) authorities_->push_back(text_of(a, "certificatePem"));
    }
    const bool is_known = std::any_of(authorities_->begin(), authorities_->end(),
                                      [&](const std::string& authority) { return pki::is_issued_by(pem, authority); });
    if (is_known) return std::string("taken in");
    return Error(ErrorCode::not_found,
                 "certificate: no registered authority has issued it: fleetward authorities register");
  }

  Status join(const std::string& thing, const std::string& group) {
    if (!groups_.contains(group)) {
      // One that is there with a parent or a description is there.
      const Result<json::Value> made = api_.post("/thing-groups/" + percent_encode(group), json::Value::object());
      if (!made && made.error().code != ErrorCode::conflict) return made.error().with_context("group " + group);
      groups_.insert(group);
    }
    const Result<json::Value> joined =
        api_.put("/thing-groups/addThingToThingGroup", {{"thingName", thing}, {"thingGroupName", group}});
    return joined.ok() ? Status() : Status(joined.error().with_context("group " + group));
  }

  ApiClient& api_;
  bool is_dry_;
  std::set<std::string> groups_;  // that are known to be there
  std::optional<std::vector<std::string>> authorities_;
};

void tell_problems(Invocation& invocation, const std::vector<ImportProblem>& problems) {
  std::size_t told = 0;
  for (const ImportProblem& problem : problems) {
    if (told++ == problems_told_max) break;
    invocation.err << fmt::format("line {}: {}\n", problem.line, printable(problem.text, 1024));
  }
  if (problems.size() > told) invocation.err << fmt::format("and {} more\n", problems.size() - told);
}

Result<ImportFile> open_import(const Invocation& invocation) {
  const std::string& path = invocation.arguments()[0];
  const std::string named = invocation.option("format").value_or("");
  Result<ImportFormat> format = named == "csv"     ? Result<ImportFormat>(ImportFormat::csv)
                                : named == "jsonl" ? Result<ImportFormat>(ImportFormat::json_lines)
                                                   : import_format_of(path);
  if (!named.empty() && named != "csv" && named != "jsonl") {
    return Error(ErrorCode::invalid_argument, "--format must be csv or jsonl");
  }
  if (!format) return format.error();
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error(ErrorCode::not_found, printable(path) + ": cannot be read");
  return read_import(in, *format, std::filesystem::path(path).parent_path().string());
}

ExitCode finish(Invocation& invocation, const Tally& tally, bool is_dry) {
  if (invocation.wants_json()) {
    invocation.out << json::dump({{"imported", tally.made},
                                  {"already", tally.already},
                                  {"failed", tally.failed},
                                  {"dryRun", is_dry}})
                   << "\n";
  } else {
    invocation.out << fmt::format("{} {} ({} were there before, {} failed)\n", is_dry ? "would import" : "imported",
                                  tally.made, tally.already, tally.failed);
  }
  return tally.failed == 0 ? ExitCode::ok : ExitCode::failed;
}

ExitCode run_import(Invocation& invocation, ApiClient& api) {
  const Result<std::int64_t> from = invocation.integer_option("from-line", 1, 1, std::int64_t{1} << 32);
  if (!from) return invocation.usage_error(from.error().message);
  const Result<ImportFile> file = open_import(invocation);
  if (!file && file.error().code == ErrorCode::invalid_argument) return invocation.usage_error(file.error().message);
  if (!file) return invocation.fail(file.error());
  if (!file->problems.empty()) {
    tell_problems(invocation, file->problems);
    return invocation.fail({ErrorCode::invalid_argument, "nothing was imported: mend the file first"});
  }
  const bool is_dry = invocation.has("dry-run");
  Importer importer(api, is_dry);
  Progress progress(invocation.err, isatty(STDERR_FILENO) != 0, "things", file->rows.size());
  std::vector<ImportProblem> problems;
  Tally tally;
  for (std::size_t i = 0; i < file->rows.size(); ++i) {
    const ImportRow& row = file->rows[i];
    if (row.line < static_cast<std::size_t>(*from)) continue;
    const Result<bool> taken = importer.take(row);
    if (!taken && (is_retryable(taken.error().code) && taken.error().code != ErrorCode::conflict)) {
      progress.finish();
      tell_problems(invocation, problems);
      return invocation.fail(taken.error().with_context(
          fmt::format("stopped at line {}; the same command goes on (--from-line {} leaves out what is done)", row.line,
                      row.line)));
    }
    if (!taken) problems.push_back({row.line, taken.error().message});
    ++(!taken ? tally.failed : *taken ? tally.made : tally.already);
    progress.set(i + 1);
  }
  progress.finish();
  tell_problems(invocation, problems);
  return finish(invocation, tally, is_dry);
}

ExitCode run_delete(Invocation& invocation, ApiClient& api) {
  const std::string& name = invocation.arguments()[0];
  bool truncated = false;
  const auto principals = api.list(thing_path(name) + "/principals", "principals", 1'000, &truncated);
  if (!principals) return invocation.fail(principals.error());
  // Without its certificates nobody is that thing any more: its sessions end. A held thing keeps them, and stays.
  for (const json::Value& principal : *principals) {
    const Result<json::Value> gone = api.call_for("DELETE", thing_path(name) + "/principals",
                                                  principal.is_string() ? principal.get<std::string>() : "");
    if (!gone) return invocation.fail(gone.error().with_context("take its certificate away"));
  }
  const Result<json::Value> deleted = api.call("DELETE", thing_path(name));
  if (!deleted) return invocation.fail(deleted.error());
  if (invocation.wants_json()) {
    invocation.out << json::dump({{"deleted", name}, {"certificates", principals->size()}}) << "\n";
  } else {
    invocation.out << fmt::format(
        "deleted {}; {} certificates belong to nobody now (fleetward certificates revoke ends them "
        "for good)\n",
        printable(name), principals->size());
  }
  return ExitCode::ok;
}

}  // namespace

Command things_import_command() {
  return {
      .name = "things import",
      .arguments = "FILE",
      .summary = "Brings in a fleet that exists: names, groups, types, attributes, certificates",
      .detail =
          "FILE is CSV with a heading, or JSON lines, of these columns: name, groups, type, attributes, certificate.\n"
          "  name,groups,type,attributes,certificate\n"
          "  cam-001,cameras;site-7,camera,firmware=1.2;vendor=Acme,certs/cam-001.pem\n"
          "A certificate is PEM, the path of a PEM file, or the SHA-256 fingerprint of one that is known. It must be "
          "of\n"
          "this installation's authority, or of one that is registered (fleetward authorities register): then it is\n"
          "taken in. The whole file is checked before anything is done. Again is no error: what was cut short goes "
          "on.\n"
          "example: fleetward things import fleet.csv --dry-run",
      .options = {{"dry-run", "", "only say what would be done"},
                  {"format", "csv|jsonl", "when the file's name does not say it"},
                  {"from-line", "N", "leave out the lines before it"}},
      .arguments_min = 1,
      .arguments_max = 1,
      .run_with_api = run_import};
}

Command things_delete_command() {
  return {.name = "things delete",
          .arguments = "DEVICE",
          .summary = "Deletes a thing: its certificates are taken away, sessions end, alarms are invalidated",
          .detail =
              "Refused while the thing is held. One that is made anew under the name inherits nothing.\n"
              "example: fleetward things delete cam-018",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_delete};
}

}  // namespace fleetward::program
