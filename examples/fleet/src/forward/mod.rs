//! Events of a fleet, as messages of a broker.
//!
//! | subject | message |
//! | --- | --- |
//! | `qmp.HOST.MACHINE.EVENT` | an event: `event`, `data`, `timestamp` |
//! | `qmp.HOST.MACHINE.connection` | a connection that was made or lost, and events that are missing: `change` |
//! | `qmp.HOST.forwarder` | this program has connected to the broker again, and repeats messages: `change`, `repeated`, `unpublished`, `refused` |
//!
//! Names are [escaped](crate::names::token). Each message is JSON. Those of a machine have `number`, which
//! counts from one on, and `run`, which is another one when the numbers begin again: this program was
//! started again, or the machine had been given up. A number that is
//! skipped is a message that the subscriber has missed; one that was there before is a repetition.
//!
//! # What is lost, and what is not
//!
//! A broker that is restarted loses what it has not handed on. So a message counts as published only when
//! the broker has confirmed it, and those that it has not confirmed are sent again on the next connection.
//! NATS itself confirms nothing; the publisher sends a marker to itself, and what was sent
//! before a marker that comes back has reached the broker.
//!
//! At most 1024 messages, or 8 MiB, wait for their confirmation. When that is full, no more events are
//! taken: they wait in the queue of each client, which drops the oldest when it is full, and counts them.
//! The number follows as `missed` on the machine's `connection`.

mod machine;
mod note;
mod publisher;

use std::pin::pin;
use std::time::Duration;

pub use note::{Note, Voice};
pub use publisher::{Broker, Counts};

use publisher::Outbox;

use crate::machines::Fleet;
use crate::say;

/// The time that the broker has to confirm the last messages.
const PARTING: Duration = Duration::from_secs(5);

/// Forwards all events until the future `stop` is ready. Returns what became of the messages.
///
/// # Errors
/// The broker cannot be subscribed to.
pub async fn run(
    fleet: &Fleet,
    broker: Broker,
    stop: impl Future<Output = ()>,
) -> Result<Counts, String> {
    let (outbox, notes) = Outbox::new(&broker);
    let counts = broker.counters();
    let mut publishing = pin!(broker.publish(&fleet.host, notes));
    {
        let attending = fleet.attend(|machine| {
            let voice = Voice::new(&fleet.host, &machine.name);
            machine::forward(machine, voice, outbox.clone())
        });
        tokio::select! {
            ended = &mut publishing => return ended.map(|()| counts.read()),
            () = attending => {}
            () = stop => {}
        }
    }
    drop(outbox);
    if tokio::time::timeout(PARTING, publishing).await.is_err() {
        say(
            "the broker has not confirmed the last messages in time, and events may not have been taken",
        );
    }
    Ok(counts.read())
}
