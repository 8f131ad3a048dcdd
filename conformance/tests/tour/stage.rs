//! The parameters and helpers that the stages of the tour share.

use std::collections::HashSet;
use std::fmt::Debug;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::{Scratch, Session, TIMEOUT, Tally};
use qmp_client::qmp::commands::QueryCommands;
use qmp_client::{Command, Event};
use qmp_vm::Launch;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The parameters of a tour on one QEMU, which its stages share.
pub(crate) struct Guide<'t> {
    qemu: &'t Path,
    server: &'t str,
    tally: &'t mut Tally,
}

impl<'t> Guide<'t> {
    pub(crate) fn new(qemu: &'t Path, server: &'t str, tally: &'t mut Tally) -> Self {
        Self { qemu, server, tally }
    }

    /// Starts a virtual machine that does not run yet. `options` are separated by spaces; options
    /// that contain spaces belong in `more`.
    pub(crate) fn start(&mut self, options: &str, more: &[&str]) -> Tour<'_> {
        let bare = ["-display", "none", "-nodefaults", "-no-user-config", "-S"];
        let launch = Launch::new(self.qemu).args(bare).args(options.split_whitespace()).args(more);
        let session = Session::start(launch, self.server, self.tally);
        let mut session = session.unwrap_or_else(|error| panic!("{}: {error}", self.server));
        let commands = session.ask(QueryCommands::new()).unwrap();
        let commands = commands.into_iter().map(|command| command.name).collect();
        Tour { session, commands }
    }
}

/// A stage of the tour.
pub(crate) struct Tour<'t> {
    pub(crate) session: Session<'t>,
    commands: HashSet<String>,
}

impl Tour<'_> {
    /// Returns whether this QEMU has the command.
    pub(crate) fn has<C: Command>(&self) -> bool {
        self.commands.contains(C::NAME)
    }

    /// Executes a command, which must succeed. Returns `None` if this QEMU does not have it.
    #[track_caller]
    pub(crate) fn run<C>(&mut self, command: C) -> Option<C::Return>
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if !self.has::<C>() {
            return None;
        }
        match self.session.ask(command) {
            Ok(returned) => Some(returned),
            Err(error) => panic!("{error}"),
        }
    }

    /// Executes a command that some builds or releases refuse.
    pub(crate) fn attempt<C>(&mut self, command: C) -> Option<C::Return>
    where
        C: Command,
        C::Return: Debug + DeserializeOwned + Serialize,
    {
        if !self.has::<C>() {
            return None;
        }
        self.session.ask(command).inspect_err(|error| println!("{error}")).ok()
    }

    /// Waits for an event.
    #[track_caller]
    pub(crate) fn event<E: Event>(&mut self, predicate: impl Fn(&E) -> bool) -> E {
        let found = self.session.wait(E::NAME, |data| {
            serde_json::from_value::<E>(data.clone()).is_ok_and(|event| predicate(&event))
        });
        match found {
            Ok(data) => serde_json::from_value(data).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Connects to a socket, waiting until QEMU has opened it.
pub(crate) fn connect(path: &str) -> UnixStream {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => {
                assert!(Instant::now() < deadline, "failed to connect to {path}: {error}");
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Creates a directory for the files of a stage.
pub(crate) fn scratch() -> Scratch {
    Scratch::new()
}
