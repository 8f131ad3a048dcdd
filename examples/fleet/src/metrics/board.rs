//! Facts about each machine, for scrapes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qmp_client::qmp::types::RunState;
use qmp_client::{Client, Stats};
use qmp_vm::supervise::{Connection, Status, Supervised};

/// The machines of a host, by name.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<BTreeMap<String, Record>>>);

/// A machine.
#[derive(Debug)]
struct Record {
    vm: Supervised<Client>,
    /// The client of the present connection, or of the last one.
    client: Option<Client>,
    /// The sum of the connections before.
    past: Stats,
    connections: u64,
    state: Option<RunState>,
}

/// The facts about a machine that a scrape shows.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) stats: Stats,
    pub(super) connections: u64,
    pub(super) is_connected: bool,
    pub(super) failed_attempts: u32,
    pub(super) state: Option<RunState>,
}

/// The place of a machine on the board. Dropping it removes the machine.
#[derive(Debug)]
pub(super) struct Place {
    board: Board,
    name: String,
}

impl Board {
    /// Creates an empty board.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn place(&self, name: String, vm: Supervised<Client>) -> Place {
        let record =
            Record { vm, client: None, past: Stats::default(), connections: 0, state: None };
        self.lock().insert(name.clone(), record);
        Place { board: self.clone(), name }
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        self.lock().iter().map(|(name, record)| record.snapshot(name)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Records a connection.
    pub(super) fn connected(&self, connection: &Connection<Client>) {
        self.update(|record| {
            if let Some(client) = record.client.replace(connection.client.clone()) {
                record.past += &client.stats();
            }
            record.connections = connection.number;
        });
    }

    /// Records the run state; `None` if it is not known.
    pub(super) fn state(&self, state: Option<RunState>) {
        self.update(|record| record.state = state);
    }

    fn update(&self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.board.lock().get_mut(&self.name) {
            change(record);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.lock().remove(&self.name);
    }
}

impl Record {
    fn snapshot(&self, name: &str) -> Snapshot {
        let status = self.vm.status();
        let is_connected = matches!(status, Status::Connected { .. });
        let mut stats = self.past.clone();
        stats += &self.client.as_ref().map(Client::stats).unwrap_or_default();
        Snapshot {
            name: name.to_owned(),
            stats,
            connections: self.connections,
            is_connected,
            failed_attempts: match status {
                Status::Outage { attempts, .. } => attempts,
                _ => 0,
            },
            state: self.state.clone().filter(|_| is_connected),
        }
    }
}
