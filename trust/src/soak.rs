//! The traffic of a month in minutes: a client and a server, whose memory must not grow.
//!
//! A simulated manager calls once a second and receives the event that the call causes. Now and then a
//! call is refused, dropped, waits for its event, or is undone; every hour, the connection is made
//! again. Nothing waits for real time: a month takes as long as its messages.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::{Client, Error, Options, Raw, RawEvent, Stats, blocking, transport};
use qmp_server::{Context, Router, Server};
use qmp_types::{Command, Event, QmpError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

/// The number of seconds in an hour, after which the connection is made again.
const HOUR: u64 = 3600;
/// The longest that anything takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

type Members = Map<String, Value>;

/// Declares a message that keeps its members as they are.
macro_rules! message {
    ($name:ident) => {
        struct $name(Members);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Members::deserialize(deserializer).map(Self)
            }
        }
    };
}

message!(Tick);
message!(Refuse);
message!(Ticked);

impl Command for Tick {
    const NAME: &'static str = "tick";
    type Return = Members;
}

impl Command for Refuse {
    const NAME: &'static str = "refuse";
    type Return = Members;
}

impl Event for Ticked {
    const NAME: &'static str = "TICKED";
}

fn server() -> Server<u64> {
    let tick = |ticks: &mut u64, tick: Tick, context: &mut Context| {
        *ticks += 1;
        context.emit(&Ticked(tick.0.clone()));
        Ok(tick.0)
    };
    let refuse = |_: &mut u64, _: Refuse, _: &mut Context| Err(QmpError::generic("no"));
    let router = Router::new().unchecked().command(tick).command(refuse).event::<Ticked>();
    Server::builder(router).build(0).expect("a server")
}

/// The result of a soak.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Soaked {
    /// The statistics of all connections together.
    pub stats: Stats,
    /// The number of commands that the server has executed.
    pub executed: u64,
    /// The events that the subscriptions have given out.
    pub events: u64,
    /// The memory of the process after a tenth of the traffic, and at the end, in KiB.
    pub memory: (u64, u64),
}

/// A month, a part of it, or more, by the number of hours.
struct Month {
    hours: u64,
    server: Server<u64>,
    soaked: Soaked,
}

/// The operation of a second.
enum Second {
    Call,
    Refused,
    Dropped,
    Until,
    Undone,
}

impl Second {
    fn of(second: u64) -> Self {
        match second {
            _ if second % 600 == 0 => Self::Refused,
            _ if second % 600 == 1 => Self::Dropped,
            _ if second % 600 == 2 => Self::Undone,
            _ if second % 60 == 3 => Self::Until,
            _ => Self::Call,
        }
    }
}

fn tick(second: u64) -> Raw {
    Raw::new("tick").arguments(&json!({"second": second}))
}

/// Returns the memory of this process, in KiB; 0 where that is not known.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Month {
    fn new(hours: u64) -> Self {
        Self { hours, server: server(), soaked: Soaked::default() }
    }

    fn connect(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        self.server.spawn(theirs).expect("a client of the server");
        ours
    }

    fn answered(second: u64, answer: &Result<Value, Error>) {
        let value = answer.as_ref().unwrap_or_else(|error| panic!("{}", error.report()));
        assert_eq!(value["second"], second, "the reply to another call");
    }

    fn refused(answer: &Result<Value, Error>) {
        let error = answer.as_ref().expect_err("a refusal");
        assert!(error.server().is_some(), "{}", error.report());
    }

    /// Adds up an hour, at whose end nothing may be left.
    fn end_of_hour(&mut self, hour: u64, stats: Stats, pending: qmp_client::Pending) {
        assert_eq!((pending.calls, pending.subscriptions), (0, 0), "in hour {hour}");
        assert_eq!(stats.calls.in_flight, 0, "in hour {hour}");
        assert_eq!(stats.calls.submitted, stats.calls.finished(), "in hour {hour}");
        self.soaked.stats += stats;
        if hour == self.hours / 10 {
            self.soaked.memory.0 = memory();
        }
    }

    fn end(mut self) -> Soaked {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.server.connection_count() > 0 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let usage = self.server.usage();
        let left = (usage.connections, usage.input_bytes, usage.output_bytes);
        assert_eq!(left, (0, 0, 0), "left at the server");
        self.soaked.memory.1 = memory();
        self.soaked.executed = self.server.with_machine(|ticks, _| *ticks);
        self.soaked
    }
}

/// Soaks the blocking client for a number of simulated hours.
///
/// # Panics
/// If something does not hold.
#[must_use]
pub fn blocking(hours: u64) -> Soaked {
    let mut month = Month::new(hours);
    for hour in 0..hours {
        let stream = transport::Unix::from_stream(month.connect()).expect("a transport");
        let client = blocking::Client::over(stream, &Options::new()).expect("a client");
        let mut events = client.raw_events();
        for second in hour * HOUR..(hour + 1) * HOUR {
            match Second::of(second) {
                Second::Call => Month::answered(second, &client.execute(tick(second))),
                Second::Refused => Month::refused(&client.execute(Raw::new("refuse"))),
                Second::Dropped => drop(client.send(tick(second)).expect("a ticket")),
                Second::Until => {
                    let is_own = |event: &RawEvent| seen(event, second).then_some(());
                    let reply = client.call(tick(second)).until_some(is_own);
                    Month::answered(second, &reply.map(|(value, ())| value));
                }
                Second::Undone => {
                    let call = client.call(tick(second));
                    let undone = call.execute_undoable(|_| Some(tick(u64::MAX)));
                    let (value, guard) = undone.expect("a reply");
                    Month::answered(second, &Ok(value));
                    drop(guard);
                }
            }
            while let Some(Ok(_)) = events.next_within(Duration::ZERO) {
                month.soaked.events += 1;
            }
        }
        // The reply to a ticket that was dropped has arrived by now.
        Month::answered(0, &client.execute(tick(0)));
        drop(events);
        month.end_of_hour(hour, client.stats(), client.pending());
    }
    month.end()
}

fn seen(event: &RawEvent, second: u64) -> bool {
    let data = event.data.as_ref().map_or("null", |data| data.get());
    serde_json::from_str::<Value>(data).is_ok_and(|data| data["second"] == second)
}

/// Soaks the asynchronous client, on tokio, for a number of simulated hours.
///
/// # Panics
/// If something does not hold.
#[must_use]
pub fn asynchronous(hours: u64) -> Soaked {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut month = Month::new(hours);
    runtime.expect("a runtime").block_on(async {
        for hour in 0..hours {
            let stream = month.connect();
            stream.set_nonblocking(true).expect("a socket");
            let stream = tokio::net::UnixStream::from_std(stream).expect("a socket");
            let client = Client::over(stream, &Options::new()).await.expect("a client");
            let mut events = client.raw_events();
            for second in hour * HOUR..(hour + 1) * HOUR {
                an_asynchronous_second(&client, second).await;
                while let Some(Ok(_)) = events.next_within(Duration::ZERO).await {
                    month.soaked.events += 1;
                }
            }
            Month::answered(0, &client.execute(tick(0)).await);
            drop(events);
            month.end_of_hour(hour, client.stats(), client.pending());
            drop(client);
            // The driver closes the connection the next time it runs.
            tokio::task::yield_now().await;
        }
    });
    month.end()
}

async fn an_asynchronous_second(client: &Client, second: u64) {
    match Second::of(second) {
        Second::Call => Month::answered(second, &client.execute(tick(second)).await),
        Second::Refused => Month::refused(&client.execute(Raw::new("refuse")).await),
        Second::Dropped => drop(client.send(tick(second)).expect("a ticket")),
        Second::Until => {
            let is_own = |event: &RawEvent| seen(event, second).then_some(());
            let reply = client.call(tick(second)).until_some(is_own).await;
            Month::answered(second, &reply.map(|(value, ())| value));
        }
        Second::Undone => {
            let call = client.call(tick(second));
            let undone = call.execute_undoable(|_| Some(tick(u64::MAX))).await;
            let (value, guard) = undone.expect("a reply");
            Month::answered(second, &Ok(value));
            drop(guard);
        }
    }
}
