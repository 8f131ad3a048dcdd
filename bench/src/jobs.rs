//! The table of what is measured: the jobs, and who does them.
//!
//! To measure something else, add an entry to a job, or a job, here. Everything follows from this table:
//! `bench` prints times, `instructions` counts instructions, `syscalls` counts system calls. An entry of
//! another project's client is in the table of `peers`.

use crate::entry::{Entry, floor, ours};
use crate::{capabilities, decode, floors, generate, ours, proxy, scale, server};

/// An operation that is measured.
pub struct Job {
    pub name: &'static str,
    pub unit: &'static str,
    /// How many operations a run has, and one of a quick plan.
    pub count: usize,
    pub quick: usize,
    /// The two numbers of operations whose difference gives instructions and system calls, if those
    /// are of interest.
    pub counted: Option<(usize, usize)>,
    pub entries: &'static [Entry],
}

impl Job {
    /// Returns whether a higher figure is better.
    pub fn is_rate(&self) -> bool {
        self.unit.ends_with("/s")
    }

    /// Returns all entries: those of this table, and the other clients.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        #[cfg(feature = "peers")]
        let peers = crate::peers::PEERS;
        #[cfg(not(feature = "peers"))]
        let peers: &[(&str, Entry)] = &[];
        let peers = peers.iter().filter(|(job, _)| *job == self.name).map(|(_, entry)| *entry);
        self.entries.iter().copied().chain(peers)
    }
}

/// All jobs. The first floor of each is what the others are compared with.
pub const JOBS: &[Job] = &[
    Job {
        name: "status",
        unit: "us CPU",
        count: 20_000,
        quick: 2_000,
        counted: Some((1_000, 3_000)),
        entries: &[
            floor("raw", floors::raw_status),
            floor("tokio-loop", floors::tokio_loop),
            floor("tokio-pair", floors::tokio_pair),
            floor("tokio-pair-timer", floors::tokio_pair_timer),
            floor("tokio-call", floors::call::status),
            floor("blocking-call", floors::call::blocking),
            ours("blocking", ours::blocking_status).over("blocking-call"),
            ours("tokio", ours::tokio_status).over("tokio-call"),
            ours("tokio-spawned", ours::tokio_spawned).over("tokio-call"),
        ],
    },
    Job {
        name: "in-flight",
        unit: "us CPU",
        count: 20_000,
        quick: 2_000,
        counted: Some((1_600, 4_800)),
        entries: &[
            floor("raw", floors::raw_in_flight),
            ours("blocking", ours::blocking_in_flight),
            ours("tokio", ours::tokio_in_flight),
        ],
    },
    Job {
        name: "flood",
        unit: "us CPU",
        count: 200_000,
        quick: 20_000,
        counted: Some((2_000, 6_000)),
        entries: &[
            floor("raw", floors::raw_flood),
            floor("event-floor", floors::event::flood),
            floor("event-floor-queued", floors::event::queued),
            ours("blocking", ours::blocking_flood).over("event-floor"),
            ours("tokio", ours::tokio_flood).over("event-floor-queued"),
            ours("tokio-spawned", ours::tokio_spawned_flood).over("event-floor-queued"),
        ],
    },
    Job {
        name: "idle",
        unit: "KiB",
        count: 2_000,
        quick: 2_000,
        counted: None,
        entries: &[
            floor("raw", floors::raw_idle),
            ours("blocking", ours::blocking_idle),
            ours("tokio", ours::tokio_idle),
        ],
    },
    Job {
        name: "decode",
        unit: "MB/s",
        count: 100,
        quick: 10,
        counted: Some((2, 6)),
        entries: &[
            floor("scan", decode::scan),
            floor("clone", decode::clone),
            floor("by-hand", decode::by_hand),
            ours("ours", decode::ours).over("by-hand"),
        ],
    },
    Job {
        name: "capabilities",
        unit: "KiB",
        count: 1_000,
        quick: 200,
        counted: None,
        entries: &[
            floor("raw", capabilities::raw),
            ours("decoded", capabilities::decoded),
            ours("shared", capabilities::shared),
        ],
    },
    Job {
        name: "server",
        unit: "us CPU",
        count: 20_000,
        quick: 2_000,
        counted: Some((1_000, 3_000)),
        entries: &[
            floor("raw", |task| server::run("raw", "command", task)),
            floor("tokio-loop", |task| server::run("tokio-loop", "command", task)),
            ours("threads", |task| server::run("threads", "command", task)),
            ours("threads, out-of-band", |task| server::run("threads", "command-oob", task)),
            ours("tokio", |task| server::run("tokio", "command", task)).over("tokio-loop"),
        ],
    },
    Job {
        name: "broadcast",
        unit: "us CPU",
        count: 100,
        quick: 10,
        // Valgrind is not made for a thousand threads.
        counted: None,
        entries: &[
            floor("raw", |task| server::run("raw", "broadcast", task)),
            floor("tokio-loop", |task| server::run("tokio-loop", "broadcast", task)),
            ours("threads", |task| server::run("threads", "broadcast", task)),
            ours("tokio", |task| server::run("tokio", "broadcast", task)).over("tokio-loop"),
        ],
    },
    Job {
        name: "served",
        unit: "KiB",
        count: 1,
        quick: 1,
        counted: None,
        entries: &[
            floor("raw", |task| server::run("raw", "monitors", task)),
            ours("threads", |task| server::run("threads", "monitors", task)),
            ours("tokio", |task| server::run("tokio", "monitors", task)),
        ],
    },
    Job {
        name: "proxy",
        unit: "us CPU",
        count: 20_000,
        quick: 2_000,
        counted: Some((1_000, 3_000)),
        entries: &[
            floor("direct", proxy::direct),
            floor("relay", proxy::relay),
            ours("ours", proxy::ours).over("relay"),
        ],
    },
    Job {
        name: "generate",
        unit: "ms CPU",
        count: 5,
        quick: 2,
        counted: Some((0, 1)),
        entries: &[ours("ours", generate::generate)],
    },
    Job {
        name: "scale",
        unit: "us CPU",
        count: 10,
        quick: 3,
        counted: None,
        entries: &[
            floor("1,000", scale::thousand),
            ours("10,000", scale::ten_thousand),
            ours("10,000, one floods", scale::one_floods),
            ours("10,000, one is not read", scale::one_is_not_read),
        ],
    },
];
