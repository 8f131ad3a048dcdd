//! The commands that a client may execute.

use std::collections::BTreeSet;

use qmp_types::{ErrorClass, QmpError, qmp};

use crate::another::OPEN_MONITOR;

/// The commands that a client of a proxy may execute.
///
/// A command that is denied is answered with QEMU's error for commands that its configuration
/// disables: class `CommandNotFound`, and the reason. `qmp_capabilities` is always allowed; it does not
/// reach QEMU.
///
/// ```
/// use qmp_vm::proxy::Policy;
///
/// let policy = Policy::read_only().allow(["screendump"]).deny(["query-vnc"]);
/// assert!(policy.allows("query-status") && policy.allows("screendump"));
/// assert!(!policy.allows("quit") && !policy.allows("query-vnc"));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    base: Base,
    allowed: BTreeSet<Box<str>>,
    denied: BTreeSet<Box<str>>,
}

/// The rule for commands that are not listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Base {
    Everything,
    ReadOnly,
    Nothing,
}

impl Policy {
    /// Allows every command, also those that the schema does not know.
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// assert!(Policy::everything().allows("quit"));
    /// ```
    #[must_use]
    pub fn everything() -> Self {
        Self::new(Base::Everything)
    }

    /// Allows the commands that, whatever their arguments, have no effect on the machine, as listed by
    /// [`READ_ONLY`](qmp_types::qmp::READ_ONLY).
    ///
    /// Commands that the schema does not know are denied, except for
    /// [`OPEN_MONITOR`](super::OPEN_MONITOR), and so are `human-monitor-command`, and
    /// `device-list-properties` and `qom-list-properties`, which create an object: with some types, that
    /// ends some releases of QEMU.
    ///
    /// In replies, secrets are masked as in recordings, by a [`Redactor`](qmp_types::Redactor):
    /// `<secret>` replaces what `qom-get` and `qom-list-get` return of secret properties, such as the
    /// `data` of a `secret` object, and passwords in the names of images. [`allow`](Self::allow) does
    /// not change that.
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// let policy = Policy::read_only().allow(["stop", "cont"]);
    /// assert!(policy.allows("query-status") && policy.allows("cont"));
    /// assert!(!policy.allows("quit"));
    /// ```
    #[must_use]
    pub fn read_only() -> Self {
        Self::new(Base::ReadOnly)
    }

    /// Allows nothing.
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// assert!(!Policy::nothing().allows("query-status"));
    /// ```
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Base::Nothing)
    }

    fn new(base: Base) -> Self {
        Self { base, allowed: BTreeSet::new(), denied: BTreeSet::new() }
    }

    /// Allows these commands, too, unless they are [denied](Self::deny).
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// let policy = Policy::nothing().allow(["query-status", "stop"]);
    /// assert!(policy.allows("stop") && !policy.allows("quit"));
    /// ```
    #[must_use]
    pub fn allow<N: Into<Box<str>>>(mut self, commands: impl IntoIterator<Item = N>) -> Self {
        self.allowed.extend(commands.into_iter().map(Into::into));
        self
    }

    /// Denies these commands, even if they are otherwise allowed.
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// let policy = Policy::everything().deny(["quit", "human-monitor-command"]);
    /// assert!(policy.allows("stop") && !policy.allows("quit"));
    /// ```
    #[must_use]
    pub fn deny<N: Into<Box<str>>>(mut self, commands: impl IntoIterator<Item = N>) -> Self {
        self.denied.extend(commands.into_iter().map(Into::into));
        self
    }

    /// Returns whether a command is allowed.
    ///
    /// ```
    /// use qmp_vm::proxy::Policy;
    ///
    /// assert!(Policy::everything().allows("quit"));
    /// ```
    #[must_use]
    pub fn allows(&self, command: &str) -> bool {
        self.reason(command).is_none()
    }

    /// Returns whether secrets are masked in replies.
    pub(super) fn masks_secrets(&self) -> bool {
        matches!(self.base, Base::ReadOnly)
    }

    /// Returns the error for a command that is denied.
    pub(super) fn refusal(&self, command: &str) -> Option<QmpError> {
        let reason = self.reason(command)?;
        let desc = format!("Command {command} has been disabled: {reason}");
        Some(QmpError::new(ErrorClass::CommandNotFound, desc))
    }

    fn reason(&self, command: &str) -> Option<&'static str> {
        if self.denied.contains(command) {
            return Some("the proxy denies it");
        }
        if self.allowed.contains(command) {
            return None;
        }
        match self.base {
            Base::Everything => None,
            // A further client has the same rights.
            Base::ReadOnly if qmp::is_read_only(command) || command == OPEN_MONITOR => None,
            Base::ReadOnly => Some("the proxy is read-only, and it may change the machine"),
            Base::Nothing => Some("the proxy does not allow it"),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::everything()
    }
}
