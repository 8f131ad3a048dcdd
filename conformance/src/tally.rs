//! Counts of commands, events and failures.

use std::collections::BTreeMap;

/// The outcome of a command.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// The server does not have the command.
    Unknown,
    /// The server answered with an error.
    Refused,
    /// The server answered with a return value, which was decoded without loss.
    Decoded,
}

/// The results of testing one server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tally {
    /// The best outcome of each command.
    pub commands: BTreeMap<String, Outcome>,
    /// The number of times that each event arrived.
    pub events: BTreeMap<String, u32>,
    /// Descriptions of losses and other failures, one line each.
    pub failures: Vec<String>,
    /// The last error of each command that was refused, even if only once.
    pub refusals: BTreeMap<String, String>,
}

impl Tally {
    /// Records an outcome of a command.
    pub fn command(&mut self, name: &str, outcome: Outcome) {
        let best = self.commands.entry(name.to_owned()).or_insert(outcome);
        *best = (*best).max(outcome);
    }

    /// Returns the number of commands with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.commands.values().filter(|one| **one == outcome).count()
    }

    /// Returns the number of commands that were tried and that the server has.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.commands.len() - self.count(Outcome::Unknown)
    }

    /// Returns the commands that were refused each time they were tried, with the last error of each.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        let refused = self.refusals.iter().filter(|(command, _)| {
            self.commands.get(*command).is_some_and(|outcome| *outcome == Outcome::Refused)
        });
        refused.map(|(command, error)| (command.as_str(), error.as_str()))
    }

    /// Returns a row of a table: server, commands tried, decoded and refused, kinds of events.
    #[must_use]
    pub fn line(&self, server: &str) -> String {
        format!(
            "| {server} | {} | {} | {} | {} |",
            self.tried(),
            self.count(Outcome::Decoded),
            self.count(Outcome::Refused),
            self.events.len(),
        )
    }

    /// The heading of the table.
    pub const HEADING: &str = "\n| server | commands tried | decoded | refused | kinds of events |\n\
                               | --- | --- | --- | --- | --- |";
}
