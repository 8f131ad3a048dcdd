//! Which QEMU answers.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use qmp_client::protocol::Printable;
use qmp_types::qmp::commands::{QueryName, QueryUuid};

use super::process::ProcessKey;
use crate::monitor::Monitor;
use crate::monitor::session::Call;

/// The facts that are known about the QEMU at the other end of a connection.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    process: Option<ProcessKey>,
    uuid: Option<String>,
    name: Option<String>,
    version: Option<String>,
}

/// Whether the QEMU of a connection is that of an earlier one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SameQemu {
    /// No earlier connection was reported.
    First,
    /// The same process.
    Same,
    /// Another one, for this reason.
    Another(Cow<'static, str>),
    /// Perhaps another one: nothing tells, for this reason.
    Unknown(Cow<'static, str>),
}

impl SameQemu {
    /// Returns whether it is known to be another QEMU, whose state has nothing to do with that of the
    /// one before.
    ///
    /// ```
    /// # fn example(same: &qmp_vm::supervise::SameQemu) {
    /// if same.is_another() {
    ///     println!("this is another machine");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_another(&self) -> bool {
        matches!(self, Self::Another(_))
    }

    /// Returns whether it is known to be the same QEMU.
    ///
    /// ```
    /// # fn example(same: &qmp_vm::supervise::SameQemu) {
    /// if same.is_same() {
    ///     println!("nothing has been restarted");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn is_same(&self) -> bool {
        matches!(self, Self::Same)
    }
}

impl fmt::Display for SameQemu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("the first QEMU"),
            Self::Same => f.write_str("the same QEMU"),
            Self::Another(why) => write!(f, "another QEMU: {why}"),
            Self::Unknown(why) => write!(f, "perhaps another QEMU: {why}"),
        }
    }
}

/// The longest text that is kept, in bytes.
const LONGEST: usize = 256;

impl Identity {
    /// Asks a client. What it does not answer in time stays unknown.
    pub(super) async fn ask<M: Monitor>(client: &M, version: String, peer: Option<u32>) -> Self {
        let process = peer.and_then(ProcessKey::of_qemu);
        if client.options().is_for_agent() {
            return Self { process, version: short(Some(version)), ..Self::default() };
        }
        let patience = client.options().call_within("query-uuid").min(Duration::from_secs(5));
        let begin = client.now();
        let uuid = client.call(QueryUuid::new()).within(patience).execute().await;
        let left = patience.saturating_sub(client.now().saturating_duration_since(begin));
        let name = client.call(QueryName::new()).within(left).execute().await;
        // Without `-uuid`, all of them have this one.
        let is_set = |uuid: &String| uuid.bytes().any(|byte| !matches!(byte, b'0' | b'-'));
        Self {
            process,
            uuid: short(uuid.ok().map(|reply| reply.uuid)).filter(is_set),
            name: short(name.ok().and_then(|reply| reply.name)),
            version: short(Some(version)),
        }
    }

    /// Returns the process of QEMU, if the connection is a Unix socket on which QEMU itself listens,
    /// or with which it connected.
    ///
    /// ```
    /// # fn example(identity: &qmp_vm::supervise::Identity) {
    /// println!("{:?}", identity.pid());
    /// # }
    /// ```
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.map(|process| process.pid)
    }

    /// Returns the UUID of the machine, if it has one.
    ///
    /// ```
    /// # fn example(identity: &qmp_vm::supervise::Identity) {
    /// println!("{:?}", identity.uuid());
    /// # }
    /// ```
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.uuid.as_deref()
    }

    /// Returns the name of the machine, if it has one.
    ///
    /// ```
    /// # fn example(identity: &qmp_vm::supervise::Identity) {
    /// println!("{:?}", identity.name());
    /// # }
    /// ```
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the version of QEMU.
    ///
    /// ```
    /// # fn example(identity: &qmp_vm::supervise::Identity) {
    /// println!("{:?}", identity.version());
    /// # }
    /// ```
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Returns the process, if it is known and has ended.
    pub(super) fn ended_process(&self) -> Option<u32> {
        self.process.filter(|process| process.has_ended()).map(|process| process.pid)
    }

    /// Compares the QEMU before with the one `after`.
    ///
    /// Another process, UUID, name or version is another QEMU. Only the process proves that it is the
    /// same: a machine that is started again has the same UUID and name.
    ///
    /// ```
    /// # fn example(before: &qmp_vm::supervise::Identity, after: &qmp_vm::supervise::Identity) {
    /// if before.compare(after).is_another() {
    ///     println!("this is another machine");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn compare(&self, after: &Self) -> SameQemu {
        let texts = [
            ("UUID", &self.uuid, &after.uuid),
            ("name", &self.name, &after.name),
            ("version", &self.version, &after.version),
        ];
        for (what, before, after) in texts {
            if let (Some(before), Some(after)) = (before, after) {
                if before != after {
                    let (before, after) = (Printable(before), Printable(after));
                    let why = format!("its {what} was {before} and is {after}");
                    return SameQemu::Another(why.into());
                }
            }
        }
        match (self.process, after.process) {
            (Some(before), Some(after)) if before == after => SameQemu::Same,
            (Some(before), Some(after)) if before.pid == after.pid => {
                let why = format!("its process {} has been started again", after.pid);
                SameQemu::Another(why.into())
            }
            (Some(before), Some(after)) => {
                let why = format!("its process was {} and is {}", before.pid, after.pid);
                SameQemu::Another(why.into())
            }
            (Some(before), None) if before.has_ended() => {
                SameQemu::Another(format!("its process {} has ended", before.pid).into())
            }
            _ => SameQemu::Unknown("its process is not known".into()),
        }
    }
}

fn short(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).map(|mut text| {
        let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(process: Option<(u32, u64)>, uuid: Option<&str>, version: &str) -> Identity {
        Identity {
            process: process.map(|(pid, start)| ProcessKey { pid, start }),
            uuid: uuid.map(str::to_owned),
            name: None,
            version: Some(version.to_owned()),
        }
    }

    /// A machine that is started again has the same UUID, and pids are used again.
    #[test]
    fn only_the_process_proves_that_it_is_the_same() {
        let before = identity(Some((7, 100)), Some("a"), "10.0.2");
        let same = |after: Identity| before.compare(&after);
        assert_eq!(same(before.clone()), SameQemu::Same);
        assert!(same(identity(Some((7, 101)), Some("a"), "10.0.2")).is_another());
        assert!(same(identity(Some((8, 100)), Some("a"), "10.0.2")).is_another());
        assert!(same(identity(Some((7, 100)), Some("b"), "10.0.2")).is_another());
        assert!(same(identity(Some((7, 100)), Some("a"), "11.1.0")).is_another());
        let unknown = identity(None, Some("a"), "10.0.2");
        assert!(matches!(unknown.compare(&unknown), SameQemu::Unknown(_)));
        assert!(matches!(unknown.compare(&before), SameQemu::Unknown(_)));
        assert!(matches!(unknown.compare(&identity(None, None, "10.0.2")), SameQemu::Unknown(_)));
        assert!(unknown.compare(&identity(None, None, "7.2.0")).is_another());
    }

    /// The texts are the server's.
    #[test]
    fn nothing_of_a_servers_is_shown_unescaped() {
        let before = identity(None, Some("\x1b[2J"), "1");
        let shown = before.compare(&identity(None, Some("b"), "1")).to_string();
        assert!(shown.contains("UUID") && !shown.contains('\x1b'), "{shown}");
        assert_eq!(short(Some("ä".repeat(1000))).map(|text| text.len()), Some(LONGEST));
    }
}
