//! Executes every command that needs no arguments.

use std::fmt::Debug;

use conformance::{Session, Visit};
use qmp_client::Command;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Commands that are not executed, the machine for which this holds, and the reasons.
const SKIPPED: [(&str, Option<&str>, &str); 5] = [
    ("quit", None, "ends QEMU"),
    ("nbd-server-stop", None, "ends the server that later queries report"),
    ("x-colo-lost-heartbeat", None, "takes over from a primary machine, which does not exist"),
    ("qmp_capabilities", None, "was executed already, and is unknown after negotiation"),
    ("rtc-reset-reinjection", Some("none"), "QEMU 10.0 and 11.1 assume an x86 machine and abort"),
];

/// A visitor that executes commands, whose errors and losses the session counts.
pub(crate) struct ExecuteEach<'s, 't> {
    pub(crate) session: &'s mut Session<'t>,
    /// The title of the machine.
    pub(crate) machine: &'s str,
}

impl Visit for ExecuteEach<'_, '_> {
    fn command<C>(&mut self, command: C)
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        let is_here = |machine: &Option<&str>| machine.is_none_or(|name| name == self.machine);
        if !SKIPPED.iter().any(|(name, machine, _)| *name == C::NAME && is_here(machine)) {
            let _ = self.session.ask(command);
        }
    }
}
