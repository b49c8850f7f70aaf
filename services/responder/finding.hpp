// What one look at the world says of an action: evidence, and what it weighs. Pure.
#pragma once

#include <string>
#include <vector>

#include "fleet/action.hpp"

namespace fleetward::responder {

enum class Weight {
  proof,     // speaks for the action
  contrary,  // says the contrary: what was proven before has drifted
  unknown,   // says nothing: an outage, or not yet; time may mend it
  late,      // a gateway's heartbeat may be on its way still
  waiting,   // a silent gateway: only its return or a person mends it
};

struct Finding {
  fleet::Evidence evidence;
  Weight weight = Weight::unknown;
};
using Findings = std::vector<Finding>;

inline Finding finding(Instant time, std::string kind, std::string where, Weight weight, std::string text) {
  return {{time, std::move(kind), std::move(where), weight == Weight::proof, std::move(text)}, weight};
}

// The first of that weight; nullptr without one.
inline const Finding* first_of(const Findings& findings, Weight weight) {
  for (const Finding& f : findings) {
    if (f.weight == weight) return &f;
  }
  return nullptr;
}

// "gw1: the probe was let through": what speaks most against it; empty when all is proof.
inline std::string fault_in(const Findings& findings) {
  if (findings.empty()) return "nothing could be examined";
  for (const Weight weight : {Weight::contrary, Weight::unknown, Weight::late, Weight::waiting}) {
    if (const Finding* f = first_of(findings, weight)) return f->evidence.where + ": " + f->evidence.text;
  }
  return {};
}

inline bool is_proven(const Findings& findings) { return fault_in(findings).empty(); }

// Nothing speaks against it but gateways that are not heard of.
inline bool only_waits(const Findings& findings) {
  return !findings.empty() && !is_proven(findings) && first_of(findings, Weight::contrary) == nullptr &&
         first_of(findings, Weight::unknown) == nullptr;
}

inline std::vector<fleet::Evidence> evidence_of(const Findings& findings) {
  std::vector<fleet::Evidence> out;
  for (const Finding& f : findings) out.push_back(f.evidence);
  return out;
}

}  // namespace fleetward::responder
