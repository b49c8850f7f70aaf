// The keys by which roles sign access and certificate records, as files: DATA_DIR/signing/ROLE.key (0600), one for each
// role that decides, and DATA_DIR/signing/signers.json, which says whose records count.
//
// A role's process needs its own key and signers.json; a gateway's needs signers.json alone. Blocking; main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "access/record_signature.hpp"
#include "repository/signing_store.hpp"

namespace fleetward::program {

// Makes what is missing and lists it. A key that is there is kept; one that signers.json lists is never taken out here:
// a new key beside an old one is how keys are changed (docs/adr/0010-signed-records.md).
Status make_signing_keys(const std::string& data_dir);

std::string signing_folder(const std::string& data_dir);
std::string signers_path(const std::string& data_dir);
std::string signing_key_path(const std::string& data_dir, std::string_view role);

using SharedSigners = std::shared_ptr<const access::Signers>;
Result<SharedSigners> read_signers(const std::string& data_dir);

// With the keys of those of `roles` that decide; it refuses to sign for the others. failed_precondition: a key is
// missing, can be read by others, or is not listed.
Result<std::shared_ptr<const store::Signer>> read_signer(const std::string& data_dir,
                                                         const std::vector<std::string>& roles);

// Signs what the store has said unsigned, or under a key that is not listed, on the topics that `roles` may sign.
// Waits.
Status sign_what_is_not(store::Store& store, const access::Signers& signers, const std::vector<std::string>& roles);

}  // namespace fleetward::program
