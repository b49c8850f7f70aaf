// Our own resources: things with their standing, certificates, profiles as files have them.
#include "pki/certificate.hpp"
#include "repository/action_repository.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/profile_repository.hpp"
#include "repository/registry_repository.hpp"
#include "repository/violation_repository.hpp"
#include "services/api/behavior_checks.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

constexpr Millis by_hand_lease = std::chrono::hours(24);
constexpr std::string_view metric_types = "string-list|ip-address-list|number-list|number";

Value holds_json(const std::vector<fleet::Hold>& holds) {
  Value out = Value::array();
  for (const fleet::Hold& h : holds) {
    out.push_back({{"actionId", h.action_id},
                   {"level", to_string(h.level)},
                   {"reason", h.reason},
                   {"actor", h.actor},
                   {"since", to_ms(h.since)},
                   {"leaseEnd", to_ms(h.lease_end)}});
  }
  return out;
}

Result<Value> thing_json(Call& call, const repository::ThingRow& t) {
  const auto holds = repository::holds_of(call.tx, t.name);
  if (!holds) return holds.error();
  const auto groups = repository::groups_of(call.tx, t.name);
  if (!groups) return groups.error();
  const auto alarms = repository::count_active_violations(call.tx, t.name);
  if (!alarms) return alarms.error();
  Value attributes = Value::object();
  for (const auto& [name, value] : t.attributes) attributes[name] = value;
  Value out = {{"name", t.name},
               {"thingId", t.id},
               {"version", t.version},
               {"thingType", t.thing_type},
               {"attributes", std::move(attributes)},
               {"groups", *groups},
               {"activeViolations", *alarms},
               {"holds", holds_json(*holds)},
               {"created", to_ms(t.created)}};
  if (const auto seen = call.presence.of(t.name, call.now)) {
    out["lastSeen"] = to_ms(seen->last);
    if (seen->connected) out["connected"] = *seen->connected;
  }
  return out;
}

Result<Value> list_things(Call& call) {
  return list_page(
      call, by_limit, "things",
      [&](const std::string& after, std::int64_t limit) {
        return repository::list_things(call.tx, {call.text("group"), "", false}, after, limit);
      },
      [](const auto& row) { return row.name; }, [&](const auto& row) { return thing_json(call, row); });
}

Value certificate_json(const repository::CertificateRow& c) {
  Value out = {{"certificateId", c.id},
               {"thing", c.thing},
               {"status", to_string(c.status)},
               {"serial", c.serial},
               {"notBefore", to_ms(c.not_before)},
               {"notAfter", to_ms(c.not_after)},
               {"created", to_ms(c.created)}};
  if (c.revoked) out["revoked"] = to_ms(*c.revoked);
  if (c.registered) out["authority"] = c.issuer;
  if (c.hold_before) out["onHold"] = true;
  return out;
}

Result<Value> show_thing(Call& call) {
  const auto row = repository::get_thing(call.tx, call.text("name"));
  if (!row) return row.error();
  auto out = thing_json(call, *row);
  if (!out) return out.error();
  const auto certificates = repository::certificates_of(call.tx, row->name);
  if (!certificates) return certificates.error();
  (*out)["certificates"] = Value::array();
  for (const auto& c : *certificates) (*out)["certificates"].push_back(certificate_json(c));
  return out;
}

// The certificate that the thing has for this key: asking again is no new one. The key stands in a certificate as it is
// (RFC 5280 section 4.1.2.7), and these are of our own issuing.
Result<std::string> certificate_over(Call& call, const std::string& thing, const crypto::PublicKey& key) {
  const auto rows = repository::certificates_of(call.tx, thing);
  if (!rows) return rows.error();
  const Bytes wanted = key.to_der();
  for (const auto& row : *rows) {
    if (row.status != fleet::CertificateStatus::active || row.not_after <= call.now || row.registered) continue;
    const auto der = pki::der_of_pem(row.pem);
    if (!der) return der.error();
    if (std::search(der->begin(), der->end(), wanted.begin(), wanted.end()) != der->end()) return row.pem;
  }
  return std::string();
}

// Thing, groups and certificate in one call. A thing that is held gets no certificate.
Result<Wish> enrol(Call& call) {
  const std::string name = call.text("name");
  const auto key = pki::read_signing_request(call.text("csr"));
  if (!key) return key.error();
  const auto attributes = attributes_in(call.args.body, "attributes");
  if (!attributes) return attributes.error();
  auto existing = repository::find_thing(call.tx, name);
  if (!existing) return existing.error();
  // A thing that is there keeps its type and attributes; who names others means another thing.
  const bool says_nothing = attributes->empty() && call.text("thingType").empty();
  auto thing = *existing && says_nothing ? Result<repository::ThingRow>(std::move(**existing))
                                         : repository::create_thing(call.tx, name, new_uuid(call.random),
                                                                    call.text("thingType"), *attributes, call.now);
  if (!thing) return thing.error();
  const auto holds = repository::holds_of(call.tx, name);
  if (!holds) return holds.error();
  if (!holds->empty())
    return Error(
        ErrorCode::failed_precondition,
        fmt::format("{} is held by action {}: release it before it is enrolled again", name, holds->front().action_id));
  const auto groups = call.args.body.find("groups");
  if (groups != call.args.body.end() && (!groups->is_array() || groups->size() > 10))
    return Error(ErrorCode::invalid_argument, "groups is not a list of at most 10 names");
  for (std::size_t i = 0; groups != call.args.body.end() && i < groups->size(); ++i) {
    const Value& group = (*groups)[i];
    if (!group.is_string() || !fleet::is_valid_name(group.get_ref<const std::string&>()))
      return Error(ErrorCode::invalid_argument, "groups has something that is no name");
    const std::string group_name = group.get<std::string>();
    const auto found = repository::find_group(call.tx, group_name);
    if (!found) return found.error();
    if (!*found) {
      if (const auto made = repository::create_group(call.tx, group_name, new_uuid(call.random), "", "", call.now);
          !made)
        return made.error();
    }
    if (const Status added = repository::add_to_group(call.tx, group_name, name, call.now); !added)
      return added.error();
  }
  Wish wish;
  wish.thing = name;
  wish.thing_id = thing->id;
  wish.public_key_pem = key->to_pem();
  wish.answer = {{"thing", name}, {"thingId", thing->id}};
  auto there = certificate_over(call, name, *key);
  if (!there) return there.error();
  wish.certificate_pem = std::move(*there);
  return wish;
}

Result<Value> quarantine(Call& call) {
  const auto thing = repository::get_thing(call.tx, call.text("name"));
  if (!thing) return thing.error();
  const auto level = fleet::parse_hold_level(call.text("level", "isolate"));
  if (!level) return level.error();
  const auto action = repository::act_by_hand(call.tx, thing->name, thing->id, *level, call.text("reason"),
                                              call.who.name, by_hand_lease, call.now);
  if (!action) return action.error();
  return to_json(*action);
}

// ---- certificates

Result<Value> list_certificates(Call& call) {
  const auto after = decode_token(call);
  if (!after) return after.error();
  const std::int64_t limit = page_size(call, "limit", 100);
  const std::string thing = call.text("thing");
  auto rows = thing.empty() ? repository::list_certificates(call.tx, *after, limit + 1)
                            : repository::certificates_of(call.tx, thing);
  if (!rows) return rows.error();
  std::erase_if(*rows, [&](const auto& row) { return row.id <= *after; });
  const auto next = cut_page(call, *rows, limit, [](const auto& row) { return row.id; });
  Value items = Value::array();
  for (const auto& c : *rows) items.push_back(certificate_json(c));
  Value out = {{"certificates", std::move(items)}};
  if (next) out["nextToken"] = *next;
  return out;
}

Result<repository::CertificateRow> certificate(Call& call) {
  auto row = repository::find_certificate(call.tx, call.text("id"));
  if (!row) return row.error();
  if (!*row) return Error(ErrorCode::not_found, "there is no such certificate");
  return std::move(**row);
}

Result<Value> show_certificate(Call& call) {
  const auto row = certificate(call);
  if (!row) return row.error();
  Value out = certificate_json(*row);
  out["certificatePem"] = row->pem;
  return out;
}

Result<Value> revoke(Call& call) {
  const auto row = certificate(call);
  if (!row) return row.error();
  const auto action = revoke_by_hand(call, *row, call.text("reason"));
  if (!action) return action.error();
  if (*action) return to_json(**action);
  return show_certificate(call);
}

// ---- profiles as files have them

Result<Value> profile_json(Call& call, const repository::ProfileRow& row) {
  Value out = to_json(row.profile);
  const auto targets = repository::targets_of(call.tx, row.profile.name);
  if (!targets) return targets.error();
  out["targets"] = Value::array();
  for (const auto& t : *targets) out["targets"].push_back(fleet::to_text(t));
  return out;
}

Result<Value> show_profile(Call& call) {
  const auto row = repository::get_profile(call.tx, call.text("name"));
  if (!row) return row.error();
  return profile_json(call, *row);
}

Result<Value> apply_profile(Call& call) {
  Value body = call.args.body;
  body.erase("targets");
  body["securityProfileName"] = call.text("name");
  auto profile = fleet::profile_from_json(body, "");
  if (!profile) return profile.error();
  if (const Status fit = check_profile(call.tx, *profile); !fit.ok()) return fit.error();
  json::Reader r(call.args.body, "");
  std::vector<fleet::Target> targets;
  for (const std::string& text : r.texts_or_empty("targets", 100, 256)) {
    auto target = fleet::parse_target(text);
    if (!target) return target.error();
    targets.push_back(std::move(*target));
  }
  if (const Status good = r.finish(); !good) return good.error();
  const auto row = repository::apply_profile(call.tx, std::move(*profile), targets, call.now);
  if (!row) return row.error();
  return profile_json(call, *row);
}

Result<Value> list_profiles(Call& call) {
  return list_page(
      call, by_limit, "profiles",
      [&](const std::string& after, std::int64_t limit) { return repository::list_profiles(call.tx, after, limit); },
      [](const auto& row) { return row.profile.name; }, [&](const auto& row) { return profile_json(call, row); });
}

Value metric_json(const fleet::CustomMetric& m) {
  return {{"name", m.name}, {"type", to_string(m.type)}, {"displayName", m.display_name}};
}

Result<Value> put_metric(Call& call) {
  const auto type = fleet::parse_custom_metric_type(call.text("type"));
  if (!type) return type.error();
  if (call.text("name").starts_with("aws:"))
    return Error(ErrorCode::invalid_argument, "a custom metric's name must not start with aws:");
  const auto row =
      repository::create_custom_metric(call.tx, {call.text("name"), *type, call.text("displayName")}, call.now);
  if (!row) return row.error();
  return metric_json(row->metric);
}

Result<Value> list_metrics(Call& call) {
  return list_page(
      call, by_limit, "customMetrics",
      [&](const std::string& after, std::int64_t limit) {
        return repository::list_custom_metrics(call.tx, after, limit);
      },
      [](const auto& row) { return row.metric.name; }, [](const auto& row) { return metric_json(row.metric); });
}

}  // namespace

std::vector<Operation> v1_operations() {
  const Member name{"name", In::path, Kind::name, true};
  const Member id{"id", In::path, Kind::text, true, 1, 64};
  const Member reason{"reason", In::body, Kind::text, true, 1, 1000};
  const Member limit{"limit", In::query, Kind::integer, false, 1, page_max};
  const Member token{"nextToken", In::query, Kind::text, false, 1, 4096};
  const Member thing{"thing", In::query, Kind::text, false, 1, 128};
  return {
      {{"v1.things.list", "GET", "/v1/things", Right::read, {{"group", In::query, Kind::name}, limit, token}},
       list_things},
      {{"v1.things.show", "GET", "/v1/things/{name}", Right::read, {name}}, show_thing},
      {{"v1.things.enrol",
        "POST",
        "/v1/things/{name}/enrol",
        Right::write,
        {name,
         {"csr", In::body, Kind::text, true, 1, 16'384},
         {"thingType", In::body, Kind::name},
         {"groups", In::body, Kind::any},
         {"attributes", In::body, Kind::any}}},
       nullptr,
       enrol},
      {{"v1.things.quarantine",
        "POST",
        "/v1/things/{name}/quarantine",
        Right::operate,
        {name, reason, {"level", In::body, Kind::text, false, 1, 16, "isolate|restrict"}}},
       quarantine},
      {{"v1.certificates.list", "GET", "/v1/certificates", Right::read, {thing, limit, token}}, list_certificates},
      {{"v1.certificates.show", "GET", "/v1/certificates/{id}", Right::read, {id}}, show_certificate},
      {{"v1.certificates.revoke", "POST", "/v1/certificates/{id}/revoke", Right::approve, {id, reason}}, revoke},
      {{"v1.profiles.list", "GET", "/v1/profiles", Right::read, {limit, token}}, list_profiles},
      {{"v1.profiles.apply",
        "PUT",
        "/v1/profiles/{name}",
        Right::write,
        {name,
         {"securityProfileDescription", In::body, Kind::text, false, 0, 1000},
         {"behaviors", In::body, Kind::any},
         {"additionalMetricsToRetainV2", In::body, Kind::any},
         {"alertTargets", In::body, Kind::any},
         {"targets", In::body, Kind::any}}},
       apply_profile},
      {{"v1.profiles.show", "GET", "/v1/profiles/{name}", Right::read, {name}}, show_profile},
      {{"v1.custom-metrics.list", "GET", "/v1/custom-metrics", Right::read, {limit, token}}, list_metrics},
      {{"v1.custom-metrics.put",
        "PUT",
        "/v1/custom-metrics/{name}",
        Right::write,
        {name,
         {"type", In::body, Kind::text, true, 1, 32, metric_types},
         {"displayName", In::body, Kind::text, false, 0, 128}}},
       put_metric},
  };
}

}  // namespace fleetward::api
