//! The connection to the broker: sends messages until it has confirmed them.
//!
//! ```text
//! outbox ──> window ──────> broker
//!              ^               │
//!              └── a marker <──┘   confirms what was sent before it on the same connection
//! ```
//!
//! The client of NATS connects again by itself, and counts its connections. When the number has changed,
//! everything in the window is sent again: what had been sent may not have arrived. A marker carries the
//! number of the connection for which it was sent, and confirms nothing on another one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::note::{Note, run};
use crate::names::token;
use crate::say;

/// The limits of the window: messages, and bytes.
const WINDOW: usize = 1024;
const WINDOW_BYTES: usize = 8 << 20;

/// The number of messages that wait to be taken into the window.
const OUTBOX: usize = 64;

/// The time after which a marker that has not come back is sent again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers of messages, by what became of them so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Messages that the broker has confirmed.
    pub published: u64,
    /// Messages that could not be sent, such as those that are too long for this broker.
    pub unpublished: u64,
    /// Messages that the broker has not confirmed, or that wait to be sent.
    pub unconfirmed: u64,
    /// Messages that were sent again.
    pub repeated: u64,
    /// Errors that the broker has sent, such as for a subject that it does not permit: at least as many
    /// messages were not published, although the broker has confirmed them.
    pub refused: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, unpublished, unconfirmed, repeated, refused } = self;
        write!(f, "{published} messages published, {unpublished} not published")?;
        write!(f, ", {unconfirmed} not confirmed, {repeated} repeated")?;
        write!(f, ", {refused} errors of the broker")
    }
}

/// The counters, which outlast the publisher.
#[derive(Debug, Default)]
pub(super) struct Counters {
    published: AtomicU64,
    unpublished: AtomicU64,
    unconfirmed: AtomicU64,
    repeated: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            published: read(&self.published),
            unpublished: read(&self.unpublished),
            unconfirmed: read(&self.unconfirmed),
            repeated: read(&self.repeated),
            refused: read(&self.refused),
        }
    }
}

/// Where messages wait to be sent.
#[derive(Clone, Debug)]
pub(super) struct Outbox(Sender<Note>, Arc<Counters>);

impl Outbox {
    /// Creates an outbox for a broker, and the other end for its publisher.
    pub(super) fn new(broker: &Broker) -> (Self, Receiver<Note>) {
        let (sender, receiver) = channel(OUTBOX);
        (Self(sender, broker.counters()), receiver)
    }

    /// Waits for room, and puts a message there; `false` if there is no publisher any more.
    pub(super) async fn put(&self, note: Note) -> bool {
        let Ok(place) = self.0.reserve().await else { return false };
        self.1.unconfirmed.fetch_add(1, Ordering::Relaxed);
        place.send(note);
        true
    }
}

/// A broker that is connected to, and connected to again.
pub struct Broker {
    client: Client,
    changed: Arc<Notify>,
    counters: Arc<Counters>,
    /// The messages that are not confirmed, oldest first.
    window: VecDeque<Note>,
    window_bytes: usize,
    /// The number of messages that have left the window.
    before: u64,
    /// The number of the connection on which the whole window was sent.
    connection: u64,
    /// The position of the last marker, and when it was sent.
    marker: Option<(u64, Instant)>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("counts", &self.counters.read()).finish_non_exhaustive()
    }
}

impl Broker {
    /// Begins to connect to a broker, such as `nats://localhost:4222`; it need not run yet. The options
    /// have the credentials, which must not be part of the address: others can read arguments.
    ///
    /// # Errors
    /// The address is invalid, or has credentials.
    pub async fn connect(address: &str, options: ConnectOptions) -> Result<Self, String> {
        let server: ServerAddr =
            address.parse().map_err(|_| "the address of the broker is not nats://HOST:PORT")?;
        if server.has_user_pass() || server.username().is_some() {
            return Err(
                "the broker's address must not have credentials: see NATS_USER, NATS_TOKEN".into(),
            );
        }
        let (changed, counters) = (Arc::new(Notify::new()), Arc::new(Counters::default()));
        let (notify, errors) = (Arc::clone(&changed), Arc::clone(&counters));
        let options = options
            .name("forward_events")
            .retry_on_initial_connect()
            .client_capacity(2 * WINDOW)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis((50 << attempts.min(8)).min(5000))
            })
            .event_callback(move |event| {
                if matches!(event, Event::ServerError(_)) {
                    errors.refused.fetch_add(1, Ordering::Relaxed);
                }
                if !matches!(event, Event::Connected | Event::Disconnected) {
                    say(&format!("broker: {event}"));
                }
                notify.notify_one();
                async {}
            });
        let client = options
            .connect(server)
            .await
            .map_err(|error| format!("cannot connect to the broker: {:?}", error.kind()))?;
        Ok(Self {
            client,
            changed,
            counters,
            window: VecDeque::new(),
            window_bytes: 0,
            before: 0,
            connection: 0,
            marker: None,
        })
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Publishes what comes out of the outbox, until that is closed and everything is confirmed.
    pub(super) async fn publish(
        mut self,
        host: &str,
        mut outbox: Receiver<Note>,
    ) -> Result<(), String> {
        let inbox = self.client.new_inbox();
        let mut markers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| format!("cannot subscribe to the broker: {error}"))?;
        let about = format!("qmp.{}.forwarder", token(host));
        let changed = Arc::clone(&self.changed);
        while !(outbox.is_closed() && outbox.is_empty() && self.window.is_empty()) {
            self.repeat(&about).await;
            self.mark(&inbox).await;
            tokio::select! {
                Some(note) = outbox.recv(), if self.has_room() => {
                    self.send(note).await;
                    // One marker for all that is there.
                    while self.has_room() {
                        let Ok(note) = outbox.try_recv() else { break };
                        self.send(note).await;
                    }
                }
                Some(marker) = markers.next() => self.confirm(&marker.payload),
                () = changed.notified() => {}
                // A change that was not told, a marker that did not come back, or a closed outbox.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        Ok(())
    }

    fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Returns whether another message is taken. None is while the broker is away: it would be sent
    /// twice.
    fn has_room(&self) -> bool {
        self.window.len() < WINDOW && self.window_bytes < WINDOW_BYTES && self.is_current()
    }

    async fn send(&mut self, note: Note) {
        if self.put(&note).await {
            self.window_bytes += note.size();
            self.window.push_back(note);
        } else {
            self.counters.unconfirmed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Sends a message. If that is impossible, however often it is tried, counts and tells it.
    async fn put(&self, note: &Note) -> bool {
        let sent = self.client.publish(note.subject.clone(), note.text.clone().into()).await;
        if let Err(error) = &sent {
            self.counters.unpublished.fetch_add(1, Ordering::Relaxed);
            say(&format!("not published: a message on {}: {:?}", note.subject, error.kind()));
        }
        sent.is_ok()
    }

    /// Sends everything that is not confirmed again, if the connection is another one.
    async fn repeat(&mut self, about: &str) {
        while self.connection != self.connections() {
            let is_first = self.connection == 0;
            self.connection = self.connections();
            self.marker = None;
            let count = self.window.len();
            if !is_first {
                say(&format!("connected to the broker again: repeating {count} messages"));
            }
            let Counts { unpublished, refused, .. } = self.counters.read();
            let run = run();
            let change = if is_first { "connected" } else { "reconnected" };
            let text = format!(
                r#"{{"run":"{run}","change":"{change}","repeated":{count},"unpublished":{unpublished},"refused":{refused}}}"#
            );
            self.put(&Note { subject: about.to_owned(), text }).await;
            for note in std::mem::take(&mut self.window) {
                if self.put(&note).await {
                    self.counters.repeated.fetch_add(1, Ordering::Relaxed);
                    self.window.push_back(note);
                } else {
                    self.leave(&note);
                }
            }
        }
    }

    /// Sends a marker, if there are messages after the last one that came back, and none is on its way.
    async fn mark(&mut self, inbox: &str) {
        let is_on_its_way = self.marker.is_some_and(|(_, since)| since.elapsed() < PATIENCE);
        if self.window.is_empty() || is_on_its_way || !self.is_current() {
            return;
        }
        let position = self.before + self.window.len() as u64;
        self.marker = Some((position, Instant::now()));
        let text = format!("{} {position}", self.connection);
        // If it is lost, another one follows.
        let _ = self.client.publish(inbox.to_owned(), text.into()).await;
    }

    /// Returns whether the broker is connected, and the whole window was sent on this connection.
    fn is_current(&self) -> bool {
        self.client.connection_state() == State::Connected && self.connection == self.connections()
    }

    /// Removes from the window what was sent before a marker.
    fn confirm(&mut self, marker: &[u8]) {
        let text = String::from_utf8_lossy(marker);
        let Some((connection, position)) = text.split_once(' ') else { return };
        let (Ok(connection), Ok(position)) = (connection.parse::<u64>(), position.parse::<u64>())
        else {
            return;
        };
        if connection != self.connection || connection != self.connections() {
            return;
        }
        while self.before < position {
            let Some(note) = self.window.pop_front() else { break };
            self.leave(&note);
            self.counters.published.fetch_add(1, Ordering::Relaxed);
        }
        if self.marker.is_some_and(|(last, _)| last <= position) {
            self.marker = None;
        }
    }

    /// Counts a message that has left the window.
    fn leave(&mut self, note: &Note) {
        self.before += 1;
        self.window_bytes -= note.size();
        self.counters.unconfirmed.fetch_sub(1, Ordering::Relaxed);
    }
}
