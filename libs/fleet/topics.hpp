// The topics of the bus: names, kinds, partition keys, and the headers that records on them carry.
#pragma once

#include <string_view>

namespace fleetward::fleet {

namespace topic {
constexpr std::string_view devices = "fleetward.devices";                // key: thing
constexpr std::string_view rules = "fleetward.rules";                    // key: (profile|dimension)/NAME@V, manifest/N
constexpr std::string_view cohort_samples = "fleetward.cohort-samples";  // key: cohort
constexpr std::string_view cohorts = "fleetward.cohorts";                // key: COHORT@N
constexpr std::string_view detector_state = "fleetward.detector-state";  // key: thing, or partition/P
constexpr std::string_view violations = "fleetward.violations";          // key: thing
constexpr std::string_view actions = "fleetward.actions";                // key: thing
constexpr std::string_view access = "fleetward.access";                  // key: thing
constexpr std::string_view certificates = "fleetward.certificates";      // key: fingerprint, or authority/FINGERPRINT
constexpr std::string_view gateways = "fleetward.gateways";              // key: instance
constexpr std::string_view enforcement = "fleetward.enforcement";        // key: thing
constexpr std::string_view incidents = "fleetward.incidents";            // key: incident
constexpr std::string_view dead_letters = "fleetward.dead-letters";      // key: source
}  // namespace topic

// Which topics are tables, how they are partitioned and how long logs are kept: services/fleetward makes them so.
struct TopicInfo {
  std::string_view name;
  bool is_table = false;
  bool per_device = false;  // as many partitions as `devices`; the others have one
  int retention_days = 0;   // logs; 0: for ever
};

inline constexpr TopicInfo all_topics[] = {
    {topic::devices, false, true, 14},       {topic::rules, true, false, 0},
    {topic::cohort_samples, false, true, 1}, {topic::cohorts, true, false, 0},
    {topic::detector_state, true, true, 0},  {topic::violations, false, true, 30},
    {topic::actions, false, true, 90},       {topic::access, true, false, 0},
    {topic::certificates, true, false, 0},   {topic::gateways, true, false, 0},
    {topic::enforcement, false, true, 30},   {topic::incidents, false, false, 90},
    {topic::dead_letters, false, false, 30},
};

namespace header {
constexpr std::string_view kind = "fw-kind";                // devices: which RecordKind
constexpr std::string_view version = "fw-version";          // tables: rises per key; readers ignore what is not newer
constexpr std::string_view signature = "fw-signature";      // access, certificates: who says so (libs/access)
constexpr std::string_view received_ms = "fw-received-ms";  // devices: when the writer took it (its own clock, ms)
constexpr std::string_view source = "fw-source";            // devices: which gateway or collector
constexpr std::string_view principal = "fw-principal";      // devices: certificate fingerprint
constexpr std::string_view thing_id = "fw-thing-id";        // devices: id of the thing, beside its name (the key)
constexpr std::string_view packet_id = "fw-packet-id";      // devices: MQTT packet id of a QoS 1 report, decimal
constexpr std::string_view dup = "fw-dup";                  // devices: "1" when sent with the DUP flag
// Of a collected report: which source and topic it came from; "1" when nobody vouches for its thing's name; its place
// in the source's log.
constexpr std::string_view origin = "fw-origin";
constexpr std::string_view claimed = "fw-claimed";
constexpr std::string_view origin_partition = "fw-origin-partition";
constexpr std::string_view origin_offset = "fw-origin-offset";
constexpr std::string_view content_type = "content-type";  // application/json, application/cbor
constexpr std::string_view traceparent = "traceparent";    // W3C trace context
}  // namespace header

}  // namespace fleetward::fleet
