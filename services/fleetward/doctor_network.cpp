// The doctor's look at ports, clock and pagers.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/timex.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "core/text.hpp"
#include "net/resolve.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/fetch.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/ports.hpp"
#include "services/fleetward/process.hpp"

namespace fleetward::program {
namespace {

constexpr Millis call_limit{5'000};
constexpr std::int64_t skew_warn_seconds = 5;
constexpr std::int64_t skew_fail_seconds = 60;

// Where we reach what listens on any address.
std::string reachable(const std::string& address) {
  if (address == "0.0.0.0") return "127.0.0.1";
  if (address == "::") return "[::1]";
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

bool is_name(const std::string& host) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, host.c_str(), &ignored) != 1 && ::inet_pton(AF_INET6, host.c_str(), &ignored) != 1;
}

void examine_public_host(const std::string& host, Findings& findings) {
  if (!is_name(host)) return;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), nullptr, nullptr, &found);
  if (found != nullptr) ::freeaddrinfo(found);
  if (failed == 0) return findings.ok("gateway.public_host", host + " has an address");
  findings.fail("gateway.public_host", fmt::format("{}: {}", host, ::gai_strerror(failed)),
                "devices, and the probes that prove an isolation, go there: set up its name");
}

void examine_ready_answer(const http::Response& answer, Findings& findings) {
  if (answer.status == 200) return findings.ok("readiness", "all parts are ready");
  std::string waiting;
  for (const std::string_view line : split(answer.body, '\n')) {
    if (line.find(": not ready") != std::string_view::npos) waiting += (waiting.empty() ? "" : "; ") + printable(line);
  }
  findings.fail("readiness", waiting.empty() ? "not ready" : waiting, "wait some seconds; else the log says why");
}

std::string readiness_url(const Settings& settings) {
  return fmt::format("http://{}:{}/readyz", reachable(settings.operations.address), settings.operations.port);
}

void examine_readiness(const Settings& settings, Fetcher& fetcher, Findings& findings) {
  if (settings.operations.port == 0) return;
  const std::string url = readiness_url(settings);
  const auto answer = fetcher.get(url, {}, call_limit);
  if (!answer) {
    return findings.fail("readiness", fmt::format("{}: {}", url, answer.error().message),
                         "does the server run with these settings? Its log says where it listens");
  }
  examine_ready_answer(*answer, findings);
}

void examine_answer(const std::string& check, const std::string& url, const Result<http::Response>& answer,
                    int expected, const std::string& advice, Findings& findings) {
  if (!answer) return findings.fail(check, fmt::format("{}: {}", url, answer.error().message), advice);
  if (answer->status != expected) {
    return findings.fail(check, fmt::format("{} answers {}", url, answer->status), advice);
  }
  findings.ok(check, url + " answers");
}

void examine_running(const Settings& settings, Findings& findings) {
  Fetcher fetcher;
  examine_readiness(settings, fetcher, findings);
  if (settings.api.port != 0) {
    const std::string url =
        fmt::format("https://{}:{}/v1/things?limit=1", reachable(settings.api.address), settings.api.port);
    const std::string& folder = settings.installation.data_dir;
    const std::string token(trim(read_file(folder + "/admin-token").value_or("")));
    const auto answer = fetcher.get(url, read_file(folder + "/pki/root.crt").value_or(""), call_limit,
                                    {{"Authorization", "Bearer " + token}});
    examine_answer("api", url, answer, 200, "does the role api run? Is the server certificate for this name?",
                   findings);
  }
  const std::string crl = settings.pki.public_url + "/crl/issuing.crl";
  examine_answer("CRL", crl, fetcher.get(crl, {}, call_limit), 200,
                 "this address stands in each certificate: pki.public_url must lead to the role pki", findings);
  if (settings.gateway.port == 0) return;
  const std::string who = listener_of(settings.gateway.port);
  if (can_listen({"gateway", settings.gateway.address, settings.gateway.port})) {
    findings.fail("gateway", fmt::format("nobody listens on port {}", settings.gateway.port),
                  "does the role gateway run? /readyz says what it waits for");
  } else {
    findings.ok("gateway", fmt::format("port {} is open{}{}", settings.gateway.port, who.empty() ? "" : ": ", who));
  }
}

std::optional<std::int64_t> unix_time_of(const http::Response& response) {
  const std::string* date = http::find_header(response.headers, "Date");
  std::tm parts{};
  if (date == nullptr || ::strptime(date->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  return ::timegm(&parts);
}

void examine_skew(const std::string& peer, const http::Response& response, Findings& findings) {
  const auto theirs = unix_time_of(response);
  if (!theirs) return;
  const std::int64_t skew = std::time(nullptr) - *theirs;
  const std::string found = fmt::format("{} s from {}", skew, peer);
  const std::string advice = "one of both clocks is wrong: set up time synchronisation (chrony) on both";
  if (std::abs(skew) > skew_fail_seconds) findings.fail("clock", found, advice);
  else if (std::abs(skew) > skew_warn_seconds) findings.warn("clock", found, advice);
  else findings.ok("clock", found);
}

std::string authorities_for(const Settings& settings, const std::string& url) {
  return url.starts_with("https://") ? read_authorities(settings.notifier.alertmanager_ca_file).value_or("") : "";
}

// Nothing is sent to it: that would be a message.
void examine_webhook(const WebhookSettings& webhook, Findings& findings) {
  const Result<http::Url> url = http::parse_url(webhook.url);
  if (!url) return;  // told as a wrong setting
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(url->host.c_str(), nullptr, nullptr, &found);
  std::string refused;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) continue;
    if (!webhook.allow_private && !net::is_public_address(text.data())) refused = text.data();
  }
  if (found != nullptr) ::freeaddrinfo(found);
  if (failed != 0) {
    findings.fail("webhook", fmt::format("{}: {}", webhook.url, ::gai_strerror(failed)), "set up its name, or its url");
  } else if (!refused.empty()) {
    findings.fail("webhook", fmt::format("{} leads to {}, a private address", webhook.url, refused),
                  "set allow_private for it if that is meant");
  } else {
    findings.ok("webhook", webhook.url + " has an address that may be used");
  }
}

}  // namespace

void examine_role(const Settings& settings, Findings& findings) {
  Fetcher fetcher;
  const std::string url = readiness_url(settings);
  if (settings.operations.port == 0) return findings.ok("process", "not known: operations.port is 0");
  const auto answer = fetcher.get(url, {}, call_limit);
  if (!answer) return findings.ok("process", "does not run here: nobody answers at " + url);
  findings.ok("process", "answers at " + url);
  examine_ready_answer(*answer, findings);
}

void examine_ports(const Settings& settings, bool is_running, Findings& findings) {
  findings.begin("network");
  examine_public_host(settings.gateway.public_host, findings);
  if (is_running) return examine_running(settings, findings);
  std::vector<std::string> roles;
  for (const Role& role : all_roles()) roles.emplace_back(role.name);
  std::size_t free = 0;
  for (const ListenPlace& place : listen_places(settings, roles)) {
    const Status can = can_listen(place);
    if (can) ++free;
    else findings.fail(fmt::format("{} port", place.section), can.error().message, "make room, or choose another port");
  }
  findings.ok("ports", fmt::format("{} are free for the server to come", free));
}

void examine_clock(const Settings& settings, Findings& findings) {
  findings.begin("clock");
  timex facts{};
  const int state = ::adjtimex(&facts);
  if (state < 0) findings.warn("synchronisation", "cannot be asked for", "see `timedatectl`");
  else if (state == TIME_ERROR || (facts.status & STA_UNSYNC) != 0) {
    findings.warn("synchronisation", "the kernel says that the clock is not synchronised",
                  "set up chrony or systemd-timesyncd: certificates, leases and incidents go by this clock");
  } else {
    findings.ok("synchronisation", fmt::format("kept, within {} ms", facts.maxerror / 1000));
  }
  Fetcher fetcher;
  for (const std::string& url : settings.notifier.alertmanagers) {
    const auto answer = fetcher.get(url, authorities_for(settings, url), call_limit);
    if (answer) examine_skew(url, *answer, findings);
  }
}

void examine_pagers(const Settings& settings, Findings& findings) {
  findings.begin("pages");
  if (settings.notifier.alertmanagers.empty() && settings.notifier.webhooks.empty()) {
    findings.warn("receivers", "there is none", "set notifier.alertmanagers or notifier.webhooks: nobody is woken");
  }
  for (const WebhookSettings& webhook : settings.notifier.webhooks) examine_webhook(webhook, findings);
  Fetcher fetcher;
  for (std::string url : settings.notifier.alertmanagers) {
    while (url.ends_with('/')) url.pop_back();
    const std::string at = url + "/-/ready";
    examine_answer(
        "Alertmanager", at, fetcher.get(at, authorities_for(settings, url), call_limit), 200,
        "pages are kept and repeated, but nobody is woken meanwhile: see to it, or to notifier.alertmanagers",
        findings);
  }
}

void examine_playbook(const Settings& settings, Findings& findings) {
  findings.begin("playbook");
  const auto playbook = read_playbook(settings.responder.playbook);
  if (!playbook) {
    return findings.fail("playbook", playbook.error().message,
                         "mend the file: a running server goes on with the old one");
  }
  if (playbook->entries.empty()) {
    return findings.warn("playbook", "has no entry",
                         "set responder.playbook: without one no violation leads to an action");
  }
  const std::string mode = settings.responder.mode == "enforce" ? "" : "; mode is observe: nobody is held";
  findings.ok("playbook", fmt::format("{} entries{}", playbook->entries.size(), mode));
}

}  // namespace fleetward::program
