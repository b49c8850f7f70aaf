// gateways list, forget.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

std::vector<Column> gateway_columns() {
  return {member_column("GATEWAY", "instance"), member_column("STANDING", "standing"),
          member_column("SESSIONS", "sessions"), member_column("ENFORCING", "enforcing"),
          time_column("LAST HEARD", "time")};
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/gateways",
                        .member = "gateways",
                        .columns = gateway_columns(),
                        .when_empty = "No gateway was heard of yet."});
}

ExitCode run_forget(Invocation& invocation, ApiClient& api) {
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: it is kept with the proofs that go by it");
  const Result<json::Value> gateway =
      api.post(fmt::format("/v1/gateways/{}/gone", percent_encode(invocation.arguments()[0])), {{"reason", *reason}});
  if (!gateway) return invocation.fail(gateway.error());
  return print_object(invocation, *gateway, gateway_columns());
}

}  // namespace

Command gateways_list_command() {
  return {.name = "gateways list",
          .summary = "Lists gateways and how they stand: live, silent, gone, stopped, ...",
          .run_with_api = run_list};
}

Command gateways_forget_command() {
  return {.name = "gateways forget",
          .arguments = "GATEWAY",
          .summary = "Says that a silent gateway is no more, so that no action waits for it",
          .detail =
              "Only when its machine is off: a gateway that runs on without us may let devices in. One that is "
              "heard of again counts again.\n"
              "example: fleetward gateways forget gw-3 --reason \"machine scrapped\"",
          .options = {{"reason", "TEXT", "why; kept with the proofs that go by it"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_forget};
}

}  // namespace fleetward::program
