// One function a command, each in a small file of its own area; commands.cpp puts them in order.
#pragma once

#include "services/fleetward/command.hpp"

namespace fleetward::program {

Command run_command();
Command config_command();
Command config_schema_command();
Command doctor_command();
Command salvage_command();
Command init_command();
Command things_list_command();
Command things_show_command();
Command things_enrol_command();
Command things_quarantine_command();
Command things_release_command();
Command things_import_command();
Command things_delete_command();
Command why_command();
Command alarms_list_command();
Command alarms_tail_command();
Command violations_command();
Command actions_list_command();
Command actions_show_command();
Command actions_approve_command();
Command actions_refuse_command();
Command actions_release_command();
Command governor_show_command();
Command governor_release_brake_command();
Command governor_reset_canary_command();
Command governor_stop_command();
Command governor_resume_command();
Command gateways_list_command();
Command gateways_forget_command();
Command dead_letters_list_command();
Command dead_letters_show_command();
Command dead_letters_replay_command();
Command incidents_list_command();
Command incidents_show_command();
Command authorities_register_command();
Command authorities_list_command();
Command authorities_activate_command();
Command authorities_deactivate_command();
Command authorities_delete_command();
Command authorities_crl_command();
Command authorities_code_command();
Command certificates_list_command();
Command certificates_show_command();
Command certificates_revoke_command();
Command profiles_validate_command();
Command profiles_apply_command();
Command profiles_list_command();
Command metrics_custom_command();
Command replay_command();
Command version_command();
Command help_command();

// Every command, in the order of help.
const std::vector<Command>& all_commands();

}  // namespace fleetward::program
