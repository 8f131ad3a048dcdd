//! Names that are the session's own.

use crate::shell::complete::{Candidate, Kind};
use crate::shell::output::{EventStyle, Mode};
use crate::shell::session::NAMES;

/// Returns the options of a session, or the values of one; `None` for other kinds.
pub(super) fn settings(kind: Kind<'_>) -> Option<Vec<Candidate>> {
    match kind {
        Kind::Setting => {
            let names = NAMES.iter().map(|(name, meaning)| Candidate {
                then: Some('='),
                ..Candidate::new(*name, *meaning)
            });
            Some(names.collect())
        }
        Kind::SettingValue(name) => {
            let values: Vec<&str> = match name {
                "output" => Mode::ALL.iter().map(|mode| mode.as_str()).collect(),
                "events" => vec!["all", "none"],
                "event-style" => {
                    let styles = EventStyle::ALL.iter().map(|style| style.as_str());
                    std::iter::once("auto").chain(styles).collect()
                }
                "timeout" => vec!["none"],
                "verbose" | "hmp" | "exit-on-error" => vec!["on", "off"],
                _ => Vec::new(),
            };
            Some(values.into_iter().map(|value| Candidate::new(value, "")).collect())
        }
        _ => None,
    }
}
