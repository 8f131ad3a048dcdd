//! Looks after one machine: follows its connections, and asks for its run state.

use std::time::Duration;

use qmp_client::qmp::commands::QueryStatus;
use qmp_client::{Client, RawEvent};
use qmp_vm::supervise::{Change, Changes, Item, Supervised};

use super::board::{Board, Place};
use crate::machines::Machine;

/// The time between two questions.
const EVERY: Duration = Duration::from_secs(15);

/// The time that a machine has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The events after which the run state may be another one.
const EVENTS: [&str; 12] = [
    "BLOCK_IO_ERROR",
    "COLO_EXIT",
    "GUEST_CRASHLOADED",
    "GUEST_PANICKED",
    "MIGRATION",
    "POWERDOWN",
    "RESET",
    "RESUME",
    "SHUTDOWN",
    "STOP",
    "SUSPEND",
    "WAKEUP",
];

/// Subscribes to a machine, and returns the future that keeps its record on the board current, until the
/// machine is given up.
pub fn watch(machine: Machine, board: &Board) -> impl Future<Output = ()> + Send + use<> {
    let Machine { name, vm } = machine;
    let place = board.place(name, vm.clone());
    let events = vm.raw_events().matching(|event: &RawEvent| EVENTS.contains(&&*event.name));
    let changes = vm.changes();
    async move {
        tokio::select! {
            () = follow(&place, changes) => {}
            () = ask(&place, &vm, events) => {}
        }
    }
}

/// Records each connection.
async fn follow(place: &Place, mut changes: Changes<Client>) {
    while let Some(change) = changes.next().await {
        if let Change::Connected(connection) = change {
            place.connected(&connection);
        }
    }
}

/// Asks for the run state at once after each connection and each event, and from time to time.
async fn ask(
    place: &Place,
    vm: &Supervised<Client>,
    mut events: qmp_vm::supervise::Events<Client>,
) {
    loop {
        match events.next_within(EVERY).await {
            Some(Ok(Item::Event(_) | Item::Gap(_))) => {}
            Some(Err(error)) if error.is_timeout() => {}
            Some(Ok(_)) => continue,
            Some(Err(_)) | None => return,
        }
        let status = vm.call(QueryStatus::new()).within(PATIENCE).execute().await;
        place.state(status.ok().map(|status| status.status));
    }
}
