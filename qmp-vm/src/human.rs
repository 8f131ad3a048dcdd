//! The monitor for people.

use std::fmt;

use qmp_client::Result;
use qmp_types::qmp::commands::HumanMonitorCommand;

use crate::monitor::Monitor;

/// The text that a command of the human monitor printed. It may be the message of a failure: QEMU
/// does not say which.
///
/// Most commands print nothing if they succeed, and commands that print information begin a failure
/// with `Error: `, but not all do. Programs should use a QMP command where one exists.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use = "the text may be the message of a failure"]
pub struct HumanText(String);

impl HumanText {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Returns whether the command printed nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the message of a failure that begins with `Error: `, as most do. `None` does not mean
    /// success.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.0.strip_prefix("Error: ").map(str::trim_end)
    }
}

impl fmt::Display for HumanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) async fn human_monitor<M: Monitor>(vm: &M, command: &str) -> Result<HumanText> {
    vm.execute(HumanMonitorCommand::new(command)).await.map(HumanText)
}
