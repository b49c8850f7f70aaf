#include "crypto/openssl.hpp"

#include <openssl/err.h>

namespace fleetward::crypto {

std::string take_openssl_errors() {
  constexpr std::size_t bytes_max = 512;
  std::string out;
  while (const unsigned long code = ERR_get_error()) {
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    if (out.size() < bytes_max) out += (out.empty() ? "" : "; ") + printable(text.data());
  }
  return out;
}

Error openssl_error(ErrorCode code, std::string_view what) {
  const std::string errors = take_openssl_errors();
  return Error(code, errors.empty() ? std::string(what) : fmt::format("{}: {}", what, errors));
}

BioHandle bio_over(ByteView bytes) { return BioHandle(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }
BioHandle bio_to_write() { return BioHandle(BIO_new(BIO_s_mem())); }

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_ctrl(bio, BIO_CTRL_INFO, 0, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

}  // namespace fleetward::crypto
