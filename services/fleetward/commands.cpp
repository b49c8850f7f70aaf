// The table of commands.
#include "services/fleetward/commands.hpp"

namespace fleetward::program {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands{
      init_command(),
      run_command(),
      config_command(),
      config_schema_command(),
      doctor_command(),
      salvage_command(),
      things_list_command(),
      things_show_command(),
      things_quarantine_command(),
      things_enrol_command(),
      things_release_command(),
      things_import_command(),
      things_delete_command(),
      why_command(),
      alarms_list_command(),
      alarms_tail_command(),
      violations_command(),
      actions_list_command(),
      actions_show_command(),
      actions_approve_command(),
      actions_refuse_command(),
      actions_release_command(),
      governor_show_command(),
      governor_release_brake_command(),
      governor_reset_canary_command(),
      governor_stop_command(),
      governor_resume_command(),
      gateways_list_command(),
      gateways_forget_command(),
      dead_letters_list_command(),
      dead_letters_show_command(),
      dead_letters_replay_command(),
      incidents_list_command(),
      incidents_show_command(),
      authorities_register_command(),
      authorities_list_command(),
      authorities_activate_command(),
      authorities_deactivate_command(),
      authorities_delete_command(),
      authorities_crl_command(),
      authorities_code_command(),
      certificates_list_command(),
      certificates_show_command(),
      certificates_revoke_command(),
      profiles_validate_command(),
      profiles_apply_command(),
      profiles_list_command(),
      metrics_custom_command(),
      replay_command(),
      version_command(),
      help_command(),
  };
  return commands;
}

}  // namespace fleetward::program
