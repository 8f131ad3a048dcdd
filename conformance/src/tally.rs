//! What was tried, and what came of it.

use std::collections::BTreeMap;

/// What came of a command.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// The server does not have it.
    Unknown,
    /// The server answered with an error.
    Refused,
    /// The server answered, and nothing of the answer was lost.
    Decoded,
}

/// What was tried on one server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tally {
    /// The best outcome of each command.
    pub commands: BTreeMap<String, Outcome>,
    /// How often each event arrived.
    pub events: BTreeMap<String, u32>,
    /// What was lost, a line each.
    pub failures: Vec<String>,
    /// The last error of each command that was refused, even if only once.
    pub refusals: BTreeMap<String, String>,
}

impl Tally {
    /// Counts a command.
    pub fn command(&mut self, name: &str, outcome: Outcome) {
        let best = self.commands.entry(name.to_owned()).or_insert(outcome);
        *best = (*best).max(outcome);
    }

    /// How many commands had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.commands.values().filter(|one| **one == outcome).count()
    }

    /// How many of the commands that were tried the server has.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.commands.len() - self.count(Outcome::Unknown)
    }

    /// The commands that were refused whenever they were tried, with the last error of each.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str)> {
        let refused = self.refusals.iter().filter(|(command, _)| {
            self.commands.get(*command).is_some_and(|outcome| *outcome == Outcome::Refused)
        });
        refused.map(|(command, why)| (command.as_str(), why.as_str()))
    }

    /// A line of a table: version, commands tried, decoded, refused; events.
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
