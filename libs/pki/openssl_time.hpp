// Between OpenSSL's times and ours. Private to pki.
#pragma once

#include "core/time.hpp"
#include "crypto/openssl.hpp"

namespace fleetward::pki {

crypto::TimeHandle to_asn1(Instant t);
Result<Instant> from_asn1(const ASN1_TIME* t);
std::string serial_hex(const ASN1_INTEGER* serial);
crypto::IntegerHandle serial_from_hex(std::string_view hex);
Result<crypto::CertHandle> parse_pem(std::string_view pem);

}  // namespace fleetward::pki
