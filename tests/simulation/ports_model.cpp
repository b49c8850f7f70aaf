#include "simulation/ports_model.hpp"

#include "json/json.hpp"

namespace fleetward::simulation {
namespace {

constexpr int allowed_port = 22;

json::Value parsed(const bus::Record& record) {
  auto value = json::parse(record.value.value_or(""), {1 << 20, 64});
  return value.ok() ? std::move(*value) : json::Value::object();
}

std::string text_in(const json::Value& value, const char* name) {
  return value.contains(name) ? value.at(name).get<std::string>() : std::string();
}

}  // namespace

void PortsModel::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (r.topic == "fleetward.devices") take_device_record(r);
    else if (r.topic == "fleetward.violations") take_violation(r);
  }
}

void PortsModel::take_device_record(const bus::Record& record) {
  Partition& p = partitions_[record.partition];
  const auto kind = bus::find_header(record.headers, "fw-kind").value_or("");
  if (kind == "begin") {
    p.begin = text_in(parsed(record), "id");
  } else if (kind == "mark") {
    const json::Value mark = parsed(record);
    if (text_in(mark, "beginId") == p.begin) p.manifest = std::max(p.manifest, mark.at("manifest").get<std::int64_t>());
  } else if (kind == "report") {
    take_report(p, record);
  } else if (kind == "registry") {
    take_fact(p, record);
  }
}

void PortsModel::take_report(Partition& p, const bus::Record& record) {
  Thing& thing = p.things[record.key];
  if (!thing.reports.insert(record.value.value_or("")).second || p.manifest == 0) return;
  const json::Value report = parsed(record);
  bool is_bad = false;
  for (const json::Value& entry : report.at("metrics").at("listening_tcp_ports").at("ports"))
    is_bad = is_bad || entry.at("port").get<int>() != allowed_port;
  if (is_bad == std::exchange(thing.in_alarm, is_bad)) return;
  due_.emplace(record.partition, record.offset, is_bad ? "in-alarm" : "alarm-cleared");
}

void PortsModel::take_fact(Partition& p, const bus::Record& record) {
  const json::Value fact = parsed(record).at("data");
  Thing& thing = p.things[record.key];
  const auto version = fact.at("version").get<std::int64_t>();
  if (version <= thing.version) return;
  const bool deleted = fact.contains("deleted") && fact.at("deleted").get<bool>();
  const std::string id = text_in(fact, "thingId");
  if (deleted || thing.deleted || id != thing.id) {
    if (std::exchange(thing.in_alarm, false)) due_.emplace(record.partition, record.offset, "alarm-invalidated");
    thing.reports.clear();
  }
  thing.version = version;
  thing.id = id;
  thing.deleted = deleted;
}

void PortsModel::take_violation(const bus::Record& record) {
  const json::Value data = parsed(record).at("data");
  published_.emplace(data.at("partition").get<std::int32_t>(), data.at("offset").get<std::int64_t>(),
                     text_in(data, "violationEventType"));
}

void PortsModel::at_rest() const {
  if (due_ == published_) return;
  for (const auto& [partition, offset, what] : due_) {
    if (!published_.contains({partition, offset, what}))
      return universe_.fail(fmt::format("{} by {}/{} is due and was not published", what, partition, offset));
  }
  for (const auto& [partition, offset, what] : published_) {
    if (!due_.contains({partition, offset, what}))
      return universe_.fail(fmt::format("{} by {}/{} was published and is not due", what, partition, offset));
  }
}

}  // namespace fleetward::simulation
