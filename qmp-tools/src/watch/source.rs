//! The connection to one machine, and the updates that come from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use qmp_client::blocking::{Client, Events};
use qmp_client::{Error, RawEvent};

use super::Watched;
use super::host::Host;
use crate::cli::chain;
use crate::report::{self, Live, Report};

/// The time between attempts to connect again.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);

/// The longest time until a thread notices that the screen is closed.
const REACTION: Duration = Duration::from_millis(100);

/// An update about a machine.
#[derive(Debug)]
pub(super) enum Update {
    /// A connection was made.
    Connected(Box<Report>),
    /// The machine was asked again.
    Sample(Box<Sample>),
    /// An event.
    Event(RawEvent),
    /// The connection ended, or could not be made.
    Gone(String),
}

/// The state of a machine at a time.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) live: Live,
    /// The time that each virtual CPU has run on the host, as far as that is known.
    pub(super) cpu_time: Option<Duration>,
    /// The bytes that the guest has received and sent, as far as that is known.
    pub(super) network: Option<(u64, u64)>,
}

/// Where the updates of a machine go.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) number: usize,
    pub(super) updates: Sender<(usize, Update)>,
    pub(super) closed: Arc<AtomicBool>,
}

impl Outlet {
    /// Passes an update on; returns whether the screen is still shown.
    fn send(&self, update: Update) -> bool {
        self.is_open() && self.updates.send((self.number, update)).is_ok()
    }

    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }

    /// Waits; returns whether the screen is still shown.
    fn pause(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        while self.is_open() && Instant::now() < until {
            std::thread::sleep(REACTION);
        }
        self.is_open()
    }
}

/// Watches a machine until the screen is closed, and then ends a QEMU that this program launched.
pub(super) fn watch(machine: Watched, interval: Duration, outlet: &Outlet) {
    let Watched { args, machine, .. } = machine;
    let within = args.timeout.timeout.min(Duration::from_secs(10));
    let mut client = None;
    let mut machine = match machine {
        Ok(machine) => {
            client = Some(machine.client.clone());
            Some(machine)
        }
        Err(reason) => {
            outlet.send(Update::Gone(reason));
            None
        }
    };
    while outlet.is_open() {
        if let Some(client) = client.take() {
            match follow(&client, args.address.as_deref(), interval, within, outlet) {
                Ok(()) => break,
                Err(error) => outlet.send(Update::Gone(chain(&error))),
            };
            // A QEMU that this program launched does not come back.
            machine = None;
        }
        if args.address.is_none() || !outlet.pause(BETWEEN_ATTEMPTS) {
            break;
        }
        match args.reconnect() {
            Some(Ok(again)) => client = Some(again),
            Some(Err(error)) => _ = outlet.send(Update::Gone(chain(&error))),
            None => break,
        }
    }
    // Quits in an orderly way, if it still runs.
    if let Some(machine) = machine {
        let _ = machine.finish();
    }
}

/// Follows a machine until the connection fails; returns when the screen is closed.
fn follow(
    client: &Client,
    address: Option<&str>,
    interval: Duration,
    within: Duration,
    outlet: &Outlet,
) -> Result<(), Error> {
    let mut events = client.raw_events();
    let report = report::collect(client, within)?;
    let host = Host::new(address, &report);
    outlet.send(Update::Connected(Box::new(report)));
    while outlet.is_open() {
        let at = Instant::now();
        let live = report::live(client, within)?;
        let sample =
            Sample { at, live, cpu_time: host.cpu_time(), network: host.network_traffic() };
        outlet.send(Update::Sample(Box::new(sample)));
        listen(&mut events, at + interval, outlet)?;
    }
    Ok(())
}

/// Passes events on until a time.
fn listen(events: &mut Events, until: Instant, outlet: &Outlet) -> Result<(), Error> {
    while outlet.is_open() {
        let left = until.saturating_duration_since(Instant::now());
        match events.next_within(left.min(REACTION)) {
            Some(Ok(event)) => _ = outlet.send(Update::Event(event)),
            Some(Err(Error::Lagged(_))) => {}
            Some(Err(error)) if error.is_timeout() => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(()),
        }
        // A flood of events must not keep the machine from being asked.
        if left.is_zero() {
            break;
        }
    }
    Ok(())
}
