#include "services/responder/prober.hpp"

#include "http/client.hpp"
#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "pki/certificate.hpp"
#include "pki/ocsp.hpp"

namespace fleetward::responder {
namespace {

using fleet::Evidence;

// One CONNECT and its CONNACK; owned by its connection's callbacks.
class ConnectProbe : public std::enable_shared_from_this<ConnectProbe> {
 public:
  struct Answer {
    std::uint8_t code = 0;
    std::map<std::string, std::string> facts;
  };
  using Done = std::function<void(Result<Answer>)>;

  ConnectProbe(async::Scheduler& scheduler, std::string thing, Done done)
      : scheduler_(scheduler), thing_(std::move(thing)), done_(std::move(done)) {}

  void start(const net::Endpoint& to, std::shared_ptr<const net::TlsContext> tls, Millis limit) {
    const auto self = shared_from_this();
    net::Connection::Callbacks callbacks;
    callbacks.open = [self](const net::TlsInfo&) {
      self->connection_->write(mqtt::encode_connect({mqtt::Version::v5, self->thing_, 30, true}));
    };
    callbacks.data = [self](ByteView bytes) { self->on_data(bytes); };
    callbacks.closed = [self](const Error& e) { self->finish(Error(ErrorCode::unavailable, e.message)); };
    timer_ = scheduler_.call_after(
        limit, [self] { self->finish(Error(ErrorCode::deadline_exceeded, "the gateway did not answer the probe")); });
    connection_ = net::connect(scheduler_, to, std::move(tls), std::move(callbacks));
  }

 private:
  void on_data(ByteView bytes) {
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    mqtt::Failure failure;
    const auto frame = mqtt::next_frame(buffer_, 64 << 10, failure);
    if (!frame && failure.reason_code == mqtt::reason::success) return;
    const auto connack = frame ? mqtt::decode_connack(*frame, mqtt::Version::v5, failure) : std::nullopt;
    if (!connack)
      return finish(Error(ErrorCode::invalid_argument, "the gateway's answer is not a CONNACK: " + failure.text));
    Answer answer{connack->code, {}};
    for (const auto& p : connack->properties.user) answer.facts[std::string(p.name)] = std::string(p.value);
    finish(std::move(answer));
  }

  void finish(Result<Answer> result) {
    if (!done_) return;
    const Done done = std::exchange(done_, {});
    scheduler_.cancel(timer_);
    if (connection_) connection_->abort();
    connection_.reset();
    done(std::move(result));
  }

  async::Scheduler& scheduler_;
  std::string thing_;
  Done done_;
  Bytes buffer_;
  std::shared_ptr<net::Connection> connection_;
  async::TimerId timer_ = async::no_timer;
};

std::int64_t number_of(const std::map<std::string, std::string>& facts, const std::string& name) {
  const auto found = facts.find(name);
  return found == facts.end() ? -1 : std::atoll(found->second.c_str());
}

// What the answer says of the thing's standing, in words.
std::string fault_of(const ConnectProbe::Answer& answer, const std::string& instance, fleet::HoldLevel level,
                     std::int64_t access_version) {
  if (answer.facts.contains("fleetward-gateway") && answer.facts.at("fleetward-gateway") != instance)
    return "another gateway answered";
  const bool kept_out = level >= fleet::HoldLevel::isolate;
  if (kept_out && answer.code == mqtt::reason::success) return std::string(let_through);
  if (answer.code != mqtt::reason::banned && answer.code != mqtt::reason::success)
    return fmt::format("the probe was refused for another reason (0x{:02X})", answer.code);
  if (kept_out && number_of(answer.facts, "fleetward-sessions") != 0) return std::string(session_open);
  if (number_of(answer.facts, "fleetward-access-version") < access_version)
    return "the gateway has not applied the record yet";
  return {};
}

async::Task<Result<http::Response>> fetch(async::Scheduler& scheduler, http::ClientRequest what, Millis limit) {
  http::ClientOptions options;
  options.timeout = limit;
  options.limits.body_bytes_max = 256 << 20;  // a CRL of a large fleet
  Result<http::Response> response = co_await http::request(scheduler, std::move(what), options);
  if (response.ok() && response->status != 200)
    co_return Error(ErrorCode::unavailable, fmt::format("HTTP status {}", response->status));
  co_return response;
}

}  // namespace

bool contradicts(const Evidence& e) {
  if (e.good) return false;
  return e.text == let_through || e.text == session_open || e.text == not_revoked ||
         e.text.find(not_in_crl) != std::string::npos;
}

async::Task<Evidence> probe_gateway(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                    ProbeIdentity identity, std::string ca_pem, std::string thing,
                                    fleet::HoldLevel level, std::int64_t access_version, Millis limit) {
  Evidence evidence{scheduler.now(), "probe", gateway.instance, false, ""};
  net::TlsClientConfig config{
      std::move(ca_pem), std::move(identity.certificate_pem), std::move(identity.key_pem), gateway.probe_host, {}};
  const auto tls = net::TlsContext::for_client(config);
  if (!tls) {
    evidence.text = tls.error().message;
    co_return evidence;
  }
  const net::Endpoint to{gateway.probe_host, static_cast<std::uint16_t>(gateway.probe_port)};
  std::function<void(ConnectProbe::Done)> start = [&](ConnectProbe::Done done) {
    std::make_shared<ConnectProbe>(scheduler, thing, std::move(done))->start(to, *tls, limit);
  };
  const Result<ConnectProbe::Answer> answer =
      co_await async::from_callback<Result<ConnectProbe::Answer>>(scheduler, start);
  evidence.time = scheduler.now();
  evidence.text = answer.ok() ? fault_of(*answer, gateway.instance, level, access_version) : answer.error().message;
  evidence.good = answer.ok() && evidence.text.empty();
  if (evidence.good) {
    evidence.text = level >= fleet::HoldLevel::isolate ? "a new connection is refused with 0x8A, no session is open"
                                                       : "the restriction is applied";
  }
  co_return evidence;
}

async::Task<Evidence> look_at_crl(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                  std::vector<std::string> certificates_pem, Millis limit) {
  Evidence evidence{scheduler.now(), "crl", url, false, ""};
  const Result<http::Response> response = co_await fetch(scheduler, {"GET", url, {}, {}}, limit);
  evidence.time = scheduler.now();
  if (!response) {
    evidence.text = "CRL: " + response.error().message;
    co_return evidence;
  }
  const auto crl = pki::read_crl(as_bytes(response->body), issuer_pem);
  if (!crl) {
    evidence.text = "CRL: " + crl.error().message;
    co_return evidence;
  }
  if (evidence.time > crl->next_update) {
    evidence.text = "CRL: the one that is served has expired";
    co_return evidence;
  }
  for (const std::string& pem : certificates_pem) {
    const auto info = pki::read_certificate(pem);
    if (info && crl->revoked.contains(info->serial)) continue;
    evidence.text = fmt::format("CRL {} {} {}", crl->number, not_in_crl, info ? info->serial : "?");
    co_return evidence;
  }
  evidence.good = true;
  evidence.text = fmt::format("CRL {} holds the certificate", crl->number);
  co_return evidence;
}

async::Task<Evidence> ask_ocsp(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                               std::string certificate_pem, Millis limit) {
  Evidence evidence{scheduler.now(), "ocsp", url, false, ""};
  const auto question = pki::make_ocsp_request(certificate_pem, issuer_pem);
  if (!question) {
    evidence.text = "OCSP: " + question.error().message;
    co_return evidence;
  }
  http::ClientRequest request{
      "POST", url, {{"Content-Type", "application/ocsp-request"}}, std::string(as_text(*question))};
  const Result<http::Response> response = co_await fetch(scheduler, std::move(request), limit);
  evidence.time = scheduler.now();
  if (!response) {
    evidence.text = "OCSP: " + response.error().message;
    co_return evidence;
  }
  const auto state = pki::read_ocsp_answer(as_bytes(response->body), certificate_pem, issuer_pem, evidence.time);
  evidence.good = state.ok() && state->kind == pki::CertificateState::Kind::revoked;
  evidence.text = !state          ? "OCSP: " + state.error().message
                  : evidence.good ? "OCSP answers revoked"
                                  : std::string(not_revoked);
  co_return evidence;
}

}  // namespace fleetward::responder
