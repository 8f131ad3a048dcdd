//! The machine as the destination of a migration.

use std::io::{self, Read};
use std::thread;

use qmp_types::QmpError;
use qmp_types::qmp::events;
use qmp_types::qmp::types::{MigrationStatus, RunState};
use serde_json::{Map, Value};

use super::address::{Destination, destination};
use super::{END, Incoming, MAGIC};
use crate::context::Context;
use crate::handle::WeakMachineHandle;
use crate::simulator::descriptor_set::{self, READ};
use crate::simulator::machine::Machine;
use crate::simulator::network::check_listen;
use crate::simulator::replies::{Arguments, Reply, done, os_error, refuse};

impl Machine {
    pub(super) fn migrate_incoming(
        &mut self,
        arguments: &Arguments,
        context: &mut Context,
    ) -> Reply {
        match self.migration.incoming {
            Incoming::Never => {
                return refuse("'-incoming' was not specified on the command line");
            }
            Incoming::Deferred => {}
            Incoming::Listening | Incoming::Ended => {
                return refuse("The incoming migration has already been started");
            }
        }
        match destination(arguments)? {
            Destination::Address(address)
                if address.get("type").is_some_and(|kind| kind == "fd") =>
            {
                let name = address.get("str").and_then(Value::as_str).unwrap_or_default();
                let stream = self.take_stream(name)?;
                self.receive_from(move || read(stream))?;
                self.migration.incoming = Incoming::Listening;
                self.set_migration(MigrationStatus::Setup, context);
            }
            Destination::Address(address) => {
                check_listen(&address, self)?;
                self.listen(&address)?;
                self.migration.incoming = Incoming::Listening;
                self.set_migration(MigrationStatus::Setup, context);
            }
            Destination::File { path, offset } => {
                let head = match self.descriptors.open(&path, READ) {
                    Some(descriptor) => descriptor_set::head(&*descriptor?, offset),
                    None => self.files.head(&path, offset),
                };
                let head = head.or_else(|error| {
                    refuse(format!("Failed to open file '{path}': {}", os_error(&error)))
                })?;
                self.migration.incoming = Incoming::Listening;
                self.set_migration(MigrationStatus::Setup, context);
                context.after_reply(|context| self.receive(&head, context));
            }
            Destination::Program => return refuse("the simulated machine does not run programs"),
        }
        done()
    }

    /// Waits for the source.
    fn listen(&self, address: &Map<String, Value>) -> Result<(), QmpError> {
        let text = |name: &str| address.get(name).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            #[cfg(unix)]
            "unix" => {
                let path = text("path");
                // As QEMU does, with a socket that an earlier process has left.
                let _ = std::fs::remove_file(path);
                let listener =
                    std::os::unix::net::UnixListener::bind(path).or_else(cannot_listen)?;
                self.receive_from(move || listener.accept().and_then(|(stream, _)| read(stream)))
            }
            "inet" => {
                let to = format!("{}:{}", text("host"), text("port"));
                let listener = std::net::TcpListener::bind(to).or_else(cannot_listen)?;
                self.receive_from(move || listener.accept().and_then(|(stream, _)| read(stream)))
            }
            _ => refuse("the simulated machine does not receive a guest from there"),
        }
    }

    /// Receives the guest on a thread.
    fn receive_from(
        &self,
        receive: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
    ) -> Result<(), QmpError> {
        let shared = self.shared.clone();
        let thread = thread::Builder::new().name("qmp-incoming".to_owned());
        let spawned = thread.spawn(move || {
            let bytes = receive().unwrap_or_default();
            if let Some(shared) = shared.as_ref().and_then(WeakMachineHandle::upgrade) {
                shared.with(|machine, context| machine.receive(&bytes, context));
            }
        });
        spawned.map(drop).or_else(cannot_listen)
    }

    /// Takes over the guest that was received, or fails, which ends the machine.
    fn receive(&mut self, stream: &[u8], context: &mut Context) {
        if self.migration.incoming != Incoming::Listening {
            return;
        }
        self.migration.incoming = Incoming::Ended;
        self.set_migration(MigrationStatus::Active, context);
        if !stream.starts_with(MAGIC) || !stream.ends_with(END) {
            self.migration.error = Some("Not a migration stream".to_owned());
            self.set_migration(MigrationStatus::Failed, context);
            return context.end();
        }
        self.set_migration(MigrationStatus::Completed, context);
        self.state = RunState::Paused;
        if self.migration.starts_guest {
            self.state = RunState::Running;
            context.emit(&events::Resume::new());
        }
    }
}

fn cannot_listen<T>(error: io::Error) -> Result<T, QmpError> {
    refuse(format!("Failed to listen: {}", os_error(&error)))
}

/// Reads a stream to its end, as far as it could be one of a simulated machine.
fn read(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(4096).read_to_end(&mut bytes)?;
    Ok(bytes)
}
