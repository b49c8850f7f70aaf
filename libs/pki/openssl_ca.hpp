// A certificate authority as operators have them, made by the openssl command: for tests of what comes from others.
// Blocking; one folder each, which the caller removes.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdio>

#include "core/text.hpp"

namespace fleetward::pki::testing_support {

// Output of a shell command run in the folder, both streams; a test fails with it when the command does.
inline std::string shell(const std::string& folder, const std::string& command) {
  FILE* pipe = ::popen(("cd " + folder + " && { " + command + " ; } 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
  return out;
}

inline std::string file_text(const std::string& path) { return shell("/", "cat '" + path + "'"); }

class OpensslCa {
 public:
  // `key` as genpkey takes it; `extensions` of the authority's own certificate, a line each.
  explicit OpensslCa(std::string folder, const std::string& subject = "/O=Acme/CN=Acme devices",
                     const std::string& key = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
                     const std::string& extensions =
                         "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
                         "subjectKeyIdentifier=hash\n",
                     const std::string& more = "-days 3650")
      : folder_(std::move(folder)) {
    shell("/", "mkdir -p '" + folder_ + "'");
    write("ca.cnf", std::string(config) + extensions);
    write("index.txt", "");
    write("serial", "1000\n");
    write("crlnumber", "0A\n");
    run("openssl genpkey " + key + " -out ca.key");
    run(fmt::format("openssl req -new -x509 -config ca.cnf -extensions own -key ca.key -subj '{}' {} -out ca.crt",
                    subject, more));
  }

  [[nodiscard]] std::string pem() const { return file_text(path("ca.crt")); }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string run(const std::string& command) const { return shell(folder_, command); }
  void write(const std::string& name, std::string_view text) const {
    std::FILE* file = std::fopen(path(name).c_str(), "wb");
    ASSERT_NE(file, nullptr) << path(name);
    std::fwrite(text.data(), 1, text.size(), file);
    std::fclose(file);
  }

  // A device's certificate in PEM; its key is in NAME.key. `serial`: of this one and the next ones, hex.
  std::string issue(const std::string& name, const std::string& serial = "", const std::string& section = "leaf",
                    const std::string& more = "") const {
    if (!serial.empty()) write("serial", serial + "\n");
    run(fmt::format(
        "openssl req -new -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN={0}' "
        "-keyout {0}.key -out {0}.csr",
        name));
    run(fmt::format("openssl ca -batch -notext -config ca.cnf -extensions {0} -in {1}.csr -out {1}.crt {2}", section,
                    name, more));
    return file_text(path(name + ".crt"));
  }
  [[nodiscard]] std::string key_pem(const std::string& name) const { return file_text(path(name + ".key")); }
  void revoke(const std::string& name, const std::string& more = "") const {
    run(fmt::format("openssl ca -config ca.cnf -revoke {}.crt {}", name, more));
  }
  // openssl's own database knows no end of a hold.
  void lift(const std::string& name) const {
    const std::string serial = run(fmt::format("openssl x509 -in {}.crt -noout -serial | cut -d= -f2", name));
    run(fmt::format("sed -i -E '/^R\\t[^\\t]*\\t[^\\t]*\\t{}\\t/d' index.txt", serial.substr(0, serial.size() - 1)));
  }
  // In PEM, as `openssl ca` writes it.
  std::string crl(const std::string& section = "list", const std::string& more = "-crldays 7") const {
    run(fmt::format("openssl ca -gencrl -config ca.cnf {} {} -out ca.crl", section.empty() ? "" : "-crlexts " + section,
                    more));
    return file_text(path("ca.crl"));
  }
  std::string crl_der(const std::string& section = "list", const std::string& more = "-crldays 7") const {
    crl(section, more);
    run("openssl crl -in ca.crl -outform DER -out ca.crl.der");
    return file_text(path("ca.crl.der"));
  }

 private:
  static constexpr std::string_view config = R"([ca]
default_ca=d
[d]
dir=.
database=index.txt
serial=serial
crlnumber=crlnumber
new_certs_dir=.
certificate=ca.crt
private_key=ca.key
default_md=sha256
default_days=365
default_crl_days=7
policy=any
unique_subject=no
[any]
commonName=supplied
[req]
distinguished_name=dn
prompt=no
[dn]
CN=unused
[leaf]
basicConstraints=CA:FALSE
keyUsage=digitalSignature
extendedKeyUsage=clientAuth
authorityKeyIdentifier=keyid
[bare]
basicConstraints=CA:FALSE
[server]
extendedKeyUsage=serverAuth
[probe]
extendedKeyUsage=clientAuth
subjectAltName=URI:urn:fleetward:probe:dev1
[sub]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
[list]
authorityKeyIdentifier=keyid
[delta]
2.5.29.27=critical,DER:02:01:01
[partition]
issuingDistributionPoint=critical,@idp
[indirect]
issuingDistributionPoint=critical,@idp_indirect
[authorities]
issuingDistributionPoint=critical,@idp_authorities
[some]
issuingDistributionPoint=critical,@idp_some
[unknown]
1.2.3.4=critical,DER:05:00
[idp]
fullname=URI:http://crl.test/1.crl
onlyuser=TRUE
[idp_indirect]
indirectCRL=TRUE
[idp_authorities]
onlyCA=TRUE
[idp_some]
onlysomereasons=keyCompromise
[own]
)";
  std::string folder_;
};

}  // namespace fleetward::pki::testing_support
