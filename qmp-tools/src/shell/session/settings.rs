//! The options of a session, which `set` changes.

use std::fmt;
use std::time::Duration;

use crate::cli::seconds;
use crate::shell::output::{EventStyle, Mode};

/// The options of a session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How replies are shown.
    pub output: Mode,
    /// How events are shown; `None` for a style that suits the output.
    pub event_style: Option<EventStyle>,
    /// The events that are shown.
    pub events: EventFilter,
    /// The deadline of a command and of a `wait`; `None` for none.
    pub timeout: Option<Duration>,
    /// Whether the commands are shown that are sent.
    pub verbose: bool,
    /// Whether lines are for the human monitor.
    pub hmp: bool,
    /// Whether a script ends at the first statement that fails.
    pub exit_on_error: bool,
    /// Whether the names of events are colored.
    pub color: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            output: Mode::Compact,
            event_style: None,
            events: EventFilter::default(),
            timeout: None,
            verbose: false,
            hmp: false,
            exit_on_error: false,
            color: false,
        }
    }
}

/// The names of the options, and what their values are.
pub const NAMES: [(&str, &str); 7] = [
    ("output", "how replies are shown: pretty, compact, table, raw or jsonl"),
    ("events", "which events are shown: all, none, or names such as JOB_*,-RTC_CHANGE"),
    ("event-style", "how events are shown: auto, line, pretty or compact"),
    ("timeout", "the deadline of a command or wait in seconds, or none"),
    ("verbose", "whether the commands are shown that are sent: on or off"),
    ("hmp", "whether lines are for the human monitor: on or off"),
    ("exit-on-error", "whether a script ends at the first statement that fails: on or off"),
];

impl Settings {
    /// Sets an option.
    ///
    /// # Errors
    /// The option is unknown, or cannot have this value.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let invalid = || SettingError::Value { name: name.to_owned(), value: value.to_owned() };
        match name {
            "output" => self.output = Mode::named(value).ok_or_else(invalid)?,
            "events" => self.events = EventFilter::parse(value),
            "event-style" => {
                self.event_style = match value {
                    "auto" => None,
                    _ => Some(EventStyle::named(value).ok_or_else(invalid)?),
                };
            }
            "timeout" => {
                self.timeout = match value {
                    "none" | "off" => None,
                    _ => Some(seconds(value).map_err(|_| invalid())?),
                };
            }
            "verbose" => self.verbose = switch(value).ok_or_else(invalid)?,
            "hmp" => self.hmp = switch(value).ok_or_else(invalid)?,
            "exit-on-error" => self.exit_on_error = switch(value).ok_or_else(invalid)?,
            _ => return Err(SettingError::Name(name.to_owned())),
        }
        Ok(())
    }

    /// Returns the value of each option, in the order of [`NAMES`].
    #[must_use]
    pub fn values(&self) -> [String; 7] {
        let on = |value| String::from(if value { "on" } else { "off" });
        [
            self.output.as_str().to_owned(),
            self.events.to_string(),
            self.event_style.map_or("auto", EventStyle::as_str).to_owned(),
            self.timeout.map_or_else(|| "none".to_owned(), |it| it.as_secs_f64().to_string()),
            on(self.verbose),
            on(self.hmp),
            on(self.exit_on_error),
        ]
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// The reason why an option cannot be set.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SettingError {
    /// The option is unknown.
    Name(String),
    /// The option cannot have this value.
    Value {
        /// The option.
        name: String,
        /// The value.
        value: String,
    },
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                let names = NAMES.map(|(name, _)| name).join(", ");
                write!(f, "unknown option `{name}`: the options are {names}")
            }
            Self::Value { name, value } => {
                let of = NAMES.iter().find(|(known, _)| known == name);
                let possible = of.map_or("", |(_, possible)| possible);
                write!(f, "invalid value `{value}` of the option `{name}`: {possible}")
            }
        }
    }
}

impl std::error::Error for SettingError {}

/// The events that are shown.
///
/// A list of names, in which `*` stands for any text. A name after `-` hides events: the last name
/// that matches decides. If all names hide, all other events are shown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EventFilter(Vec<String>);

impl EventFilter {
    /// Parses a list of names; `all` and `none` are lists, too.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let names = match text {
            "all" | "on" => Vec::new(),
            "none" | "off" => vec!["-*".to_owned()],
            names => names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        Self(names)
    }

    /// Returns whether an event is shown.
    #[must_use]
    pub fn shows(&self, event: &str) -> bool {
        let decisive = self.0.iter().rev().find(|name| {
            matches(name.strip_prefix('-').unwrap_or(name).as_bytes(), event.as_bytes())
        });
        match decisive {
            Some(name) => !name.starts_with('-'),
            None => self.0.iter().all(|name| name.starts_with('-')),
        }
    }
}

impl fmt::Display for EventFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [] => f.write_str("all"),
            [name] if name == "-*" => f.write_str("none"),
            names => f.write_str(&names.join(",")),
        }
    }
}

/// Returns whether a text matches a pattern, in which `*` stands for any text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on if the text does not match what follows the last star.
    let mut again: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match again {
                Some((after, from)) => {
                    again = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_filtered_by_name() {
        for (filter, shown, hidden) in [
            ("all", &["STOP", "RESUME"] as &[&str], &[] as &[&str]),
            ("none", &[], &["STOP"]),
            ("STOP,JOB_*", &["STOP", "JOB_STATUS_CHANGE"], &["RESUME", "BLOCK_JOB_READY"]),
            ("-RTC_CHANGE", &["STOP"], &["RTC_CHANGE"]),
            ("*JOB*,-*_CHANGE", &["BLOCK_JOB_READY"], &["JOB_STATUS_CHANGE", "STOP"]),
            ("-*,STOP", &["STOP"], &["RESUME"]),
        ] {
            let parsed = EventFilter::parse(filter);
            assert_eq!(parsed.to_string(), filter);
            assert!(shown.iter().all(|event| parsed.shows(event)), "{filter}");
            assert!(!hidden.iter().any(|event| parsed.shows(event)), "{filter}");
        }
    }

    #[test]
    fn options_are_set_by_name() {
        let mut settings = Settings::default();
        let before = settings.values();
        for ((name, _), value) in NAMES.iter().zip(&before) {
            settings.set(name, value).unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(settings.values(), before);
        for (name, value, error) in [
            ("size", "on", "unknown option `size`: the options are output, events,"),
            ("output", "xml", "invalid value `xml` of the option `output`: how replies"),
            ("timeout", "-1", "invalid value `-1` of the option `timeout`"),
        ] {
            let found = settings.set(name, value).map_err(|error| error.to_string());
            assert!(found.as_ref().is_err_and(|found| found.starts_with(error)), "{found:?}");
        }
    }
}
