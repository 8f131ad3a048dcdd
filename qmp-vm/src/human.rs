//! The monitor for people.

use std::fmt;

use qmp_client::Result;
use qmp_client::protocol::Printable;
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
    ///
    /// ```
    /// # fn example(text: &qmp_vm::HumanText) {
    /// println!("{}", text.as_str());
    /// # }
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    ///
    /// ```
    /// # fn example(text: qmp_vm::HumanText) {
    /// let table: String = text.into_string();
    /// # }
    /// ```
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Returns whether the command printed nothing.
    ///
    /// ```
    /// # fn example(text: &qmp_vm::HumanText) {
    /// // Most commands of the human monitor say nothing if they succeed.
    /// assert!(text.is_empty());
    /// # }
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the message of a failure that is recognized as such: that begins with `Error: `, as
    /// most do, or that says that the command is unknown, or was called in a wrong way. `None` does
    /// not mean success.
    ///
    /// ```
    /// # fn example(text: &qmp_vm::HumanText) {
    /// if let Some(error) = text.error() {
    ///     eprintln!("QEMU refused: {error}");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        let text = self.0.trim_end();
        if let Some(message) = text.strip_prefix("Error: ") {
            return Some(message);
        }
        let is_usage = text.starts_with("unknown command: '")
            || text.lines().next_back().is_some_and(|line| line.starts_with("Try \"help "));
        is_usage.then_some(text)
    }
}

/// Takes the text that `human-monitor-command` has returned.
impl From<String> for HumanText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The text with its lines and tabs. Other characters that control a terminal are escaped, since the
/// text has what others chose, such as the names of devices.
impl fmt::Display for HumanText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The ends of lines have a carriage return, which alone overwrites the line.
        for line in self.0.split_inclusive('\n') {
            for part in line.trim_end_matches(['\r', '\n']).split_inclusive('\t') {
                let text = part.trim_end_matches('\t');
                text.chars().try_for_each(|it| Printable(it.encode_utf8(&mut [0; 4])).fmt(f))?;
                f.write_str(&part[text.len()..])?;
            }
            f.write_str(if line.ends_with('\n') { "\n" } else { "" })?;
        }
        Ok(())
    }
}

pub(crate) async fn human_monitor<M: Monitor>(vm: &M, command: &str) -> Result<HumanText> {
    vm.execute(HumanMonitorCommand::new(command)).await.map(HumanText)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script that used an unknown command took the message for its result.
    #[test]
    fn messages_of_failures_are_recognized() {
        for (text, error) in [
            ("Error: no such device\r\n", Some("no such device")),
            ("unknown command: 'nonsense'\r\n", Some("unknown command: 'nonsense'")),
            (
                "stop|s: extraneous characters at the end of line\r\nTry \"help stop\" for more information\r\n",
                Some(
                    "stop|s: extraneous characters at the end of line\r\nTry \"help stop\" for more information",
                ),
            ),
            ("VM status: running\r\n", None),
            ("", None),
        ] {
            assert_eq!(HumanText::from(text.to_owned()).error(), error, "{text}");
        }
    }

    #[test]
    fn text_is_shown_in_lines_and_without_escapes() {
        let text = HumanText("a\tb\r\n\r\n\u{1b}[2Jé\rx\n".to_owned());
        assert_eq!(text.to_string(), "a\tb\n\n\\u{1b}[2Jé\\rx\n");
        assert_eq!(HumanText::default().to_string(), "");
        assert!(text.as_str().contains('\u{1b}'));
    }
}
