//! Entries of the table of jobs: who does a job, and how.

use crate::Anything;

/// The work of the process of one entry.
pub struct Task<'a> {
    /// How many operations.
    pub count: usize,
    /// The socket of the server, which this program started with the same count.
    pub path: &'a str,
}

impl Task<'_> {
    /// Reports another figure than the result. It becomes a row of its own, called after the job and
    /// `name`, which includes the unit.
    pub fn note(&self, name: &str, figure: f64) {
        println!("{figure}\t{name}");
    }
}

/// Does the task, measures itself, and returns the figure in the unit of the job.
pub type Run = fn(&Task<'_>) -> Anything<f64>;

/// Whose code an entry measures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// A program that does the bare minimum.
    Floor,
    Ours,
    /// Another project.
    Peer,
}

/// One way to do a job.
#[derive(Clone, Copy)]
pub struct Entry {
    pub client: &'static str,
    pub side: Side,
    /// The floor with which it is compared, besides the first one of the job.
    pub over: Option<&'static str>,
    pub run: Run,
}

impl Entry {
    const fn new(client: &'static str, side: Side, run: Run) -> Self {
        Self { client, side, over: None, run }
    }

    /// Compares the entry with this floor, too.
    pub const fn over(self, floor: &'static str) -> Self {
        Self { over: Some(floor), ..self }
    }
}

pub const fn floor(client: &'static str, run: Run) -> Entry {
    Entry::new(client, Side::Floor, run)
}

pub const fn ours(client: &'static str, run: Run) -> Entry {
    Entry::new(client, Side::Ours, run)
}

#[cfg(feature = "peers")]
pub const fn peer(client: &'static str, run: Run) -> Entry {
    Entry::new(client, Side::Peer, run)
}
