//! The monitor for people.

use qmp_client::Result;
use qmp_types::qmp::commands::HumanMonitorCommand;

use crate::monitor::Monitor;

pub(crate) async fn human_monitor<M: Monitor>(vm: &M, command: &str) -> Result<String> {
    vm.execute(HumanMonitorCommand::new(command)).await
}
