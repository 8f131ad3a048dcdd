//! The events of one machine.

use qmp_vm::supervise::{Change, Gap, Item};

use super::note::Voice;
use super::publisher::Outbox;
use crate::machines::Machine;
use crate::say;

/// Subscribes to the events of a machine, and returns the future that makes messages of them, until the
/// machine is given up or the publisher is gone. It waits while the outbox is full: the events wait in
/// the queue of the client.
pub(super) fn forward(
    machine: Machine,
    mut voice: Voice,
    outbox: Outbox,
) -> impl Future<Output = ()> + Send {
    let Machine { name, vm } = machine;
    let (mut events, mut changes) = (vm.raw_events(), vm.changes());
    async move {
        let mut has_ended = false;
        loop {
            let note = tokio::select! {
                item = events.next() => match item {
                    Some(Ok(Item::Event(event))) => voice.event(&event),
                    Some(Ok(Item::Gap(Gap::Reconnected(connection)))) => voice.connected(&connection),
                    Some(Ok(Item::Gap(Gap::Lagged(missed)))) => voice.gap(missed),
                    Some(Ok(_)) => continue,
                    Some(Err(error)) if !error.is_closed() => {
                        say(&format!("{name}: {error}"));
                        continue;
                    }
                    Some(Err(_)) | None => {
                        let note = voice.ended(&vm.ended().await.to_string());
                        outbox.put(note).await;
                        return;
                    }
                },
                // The subscription tells of the others, in order.
                change = changes.next(), if !has_ended => match change {
                    Some(Change::Lost(lost)) => voice.lost(&lost.reason.to_string()),
                    Some(Change::Connected(_)) => continue,
                    _ => {
                        has_ended = true;
                        continue;
                    }
                },
            };
            if !outbox.put(note).await {
                return;
            }
        }
    }
}
