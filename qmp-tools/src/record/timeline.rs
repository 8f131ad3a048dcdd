//! Shows a recording as a timeline.

use std::borrow::Cow;
use std::io::BufRead;

use clap::Args;
use qmp_client::Timestamp;
use qmp_client::protocol::Printable;
use qmp_client::recording::{Content, Direction, Entry, Header, Reader, RecordingError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::message::{Message, Waiting, compact};
use crate::terminal::{self, inline};

/// The width of details, in characters.
const WIDTH: usize = 100;
/// The longest description of an error, and the longest name of a connection, in characters.
const MAX_TEXT: usize = 4096;

/// Selects the messages of a recording that are shown. Without any of these, everything is.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// Show only commands with this name, and their replies; may be repeated
    #[arg(long, value_name = "NAME")]
    pub command: Vec<String>,

    /// Show only events with this name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub event: Vec<String>,

    /// Show only errors
    #[arg(long)]
    pub errors: bool,

    /// Show only what took at least this many milliseconds
    #[arg(long, value_name = "MS", value_parser = duration, allow_negative_numbers = true)]
    pub slower: Option<f64>,

    /// Show only messages of this connection
    #[arg(long, value_name = "NAME")]
    pub monitor: Option<String>,
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number < 0.0 => Err("must not be negative".to_owned()),
        Ok(number) if !number.is_nan() => Ok(number),
        _ => Err("not a number of milliseconds".to_owned()),
    }
}

/// How it is shown.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Form {
    /// Print one JSON object for each message, with times in microseconds
    #[arg(long)]
    pub json: bool,

    /// Do not cut details off
    #[arg(long)]
    pub full: bool,
}

/// A message, and what is known about it from those before.
struct Moment<'e> {
    entry: &'e Entry,
    kind: Kind,
    /// The name of the command or event.
    name: Option<String>,
    /// The microseconds from the command to its reply.
    latency: Option<u64>,
    detail: Option<Detail<'e>>,
}

/// The content of a message.
enum Detail<'e> {
    /// JSON, as it is in the message.
    Json(&'e str),
    /// Other text.
    Text(Cow<'e, str>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Greeting,
    Command,
    OutOfBand,
    Reply,
    Error,
    Event,
    Text,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Greeting => "greeting",
            Self::Command => "command",
            Self::OutOfBand => "out-of-band",
            Self::Reply => "reply",
            Self::Error => "error",
            Self::Event => "event",
            Self::Text => "text",
        }
    }

    fn sign(self, direction: Direction) -> &'static str {
        match (self, direction) {
            (Self::OutOfBand, _) => ">>",
            (Self::Error, _) => "!",
            (Self::Event, _) => "*",
            (_, Direction::Sent) => ">",
            (_, Direction::Received) => "<",
        }
    }
}

/// A command that waits for its reply.
struct Sent {
    name: String,
    time: Option<u64>,
}

/// The numbers at the end of a timeline.
#[derive(Default)]
struct Summary {
    commands: u64,
    errors: u64,
    events: u64,
    unanswered: usize,
    end: u64,
    slowest: Option<(u64, String)>,
}

/// Writes a timeline, line by line, to a function.
///
/// # Errors
/// Returns the reader's error, after what was read before it, or that of the function.
pub fn show<E: From<RecordingError>>(
    mut reader: Reader<impl BufRead>,
    filter: &Filter,
    form: Form,
    write: &mut dyn FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut line = |text: String| match form.json {
        true => write(&format!("{}\n", terminal::json(&text))),
        false => write(&format!("{}\n", terminal::lines(&text))),
    };
    if let Some(header) = reader.header().filter(|_| !form.json) {
        line(title(header))?;
    }
    let (mut waiting, mut summary) = (Waiting::<Sent>::default(), Summary::default());
    let mut has_monitors = false;
    let mut first: Option<String> = None;
    for entry in reader.by_ref() {
        let entry = entry?;
        let moment = Moment::new(&entry, &mut waiting);
        summary.add(&moment);
        has_monitors |= first.get_or_insert_with(|| entry.monitor.clone()) != &entry.monitor;
        if !filter.shows(&moment) {
            continue;
        }
        line(if form.json { moment.to_json() } else { moment.line(form.full, has_monitors) })?;
    }
    summary.unanswered = waiting.len();
    if !form.json {
        line(summary.text())?;
        if reader.is_torn() {
            line("the last line is incomplete, and was ignored".to_owned())?;
        }
    }
    Ok(())
}

impl Filter {
    fn shows(&self, moment: &Moment<'_>) -> bool {
        let name = moment.name.as_deref().unwrap_or_default();
        let is_event = moment.kind == Kind::Event;
        let by_name = match (self.command.is_empty(), self.event.is_empty()) {
            (true, true) => true,
            _ if is_event => self.event.iter().any(|event| event == name),
            _ => self.command.iter().any(|command| command == name),
        };
        let is_slow = |least: f64| moment.latency.is_some_and(|us| us as f64 >= least * 1e3);
        by_name
            && (!self.errors || moment.kind == Kind::Error)
            && self.slower.is_none_or(is_slow)
            && self.monitor.as_ref().is_none_or(|monitor| *monitor == moment.entry.monitor)
    }
}

impl<'e> Moment<'e> {
    fn new(entry: &'e Entry, waiting: &mut Waiting<Sent>) -> Self {
        let mut this = Self { entry, kind: Kind::Text, name: None, latency: None, detail: None };
        let message = match &entry.content {
            Content::Text(text) => {
                this.detail = Some(Detail::Text(text.into()));
                return this;
            }
            Content::Message(message) => message,
        };
        let json = |part: &'e RawValue| Detail::Json(part.get());
        match Message::read(entry.direction, message) {
            Message::Greeting(greeting) => {
                this.kind = Kind::Greeting;
                this.detail = Some(Detail::Text(version(greeting).into()));
            }
            Message::Command { name, out_of_band, arguments, id } => {
                this.kind = if out_of_band { Kind::OutOfBand } else { Kind::Command };
                this.detail = arguments.map(json);
                let sent = Sent { name: name.clone(), time: entry.time };
                // One too many: its reply is shown without its name.
                let _ = waiting.sent(&entry.monitor, id, sent);
                this.name = Some(name);
            }
            Message::Reply { value, id } => {
                (this.kind, this.detail) = (Kind::Reply, Some(json(value)));
                this.answers(waiting.replied(&entry.monitor, id));
            }
            Message::Error { error, id } => {
                this.kind = Kind::Error;
                this.detail = Some(Detail::Text(description(error).into()));
                this.answers(waiting.replied(&entry.monitor, id));
            }
            Message::Event { name, data } => {
                (this.kind, this.detail) = (Kind::Event, data.map(json));
                this.name = Some(name);
            }
            Message::Other => this.detail = Some(Detail::Text(message.get().into())),
        }
        this
    }

    fn answers(&mut self, sent: Option<Sent>) {
        if let Some(sent) = sent {
            let times = self.entry.time.zip(sent.time);
            self.latency = times.map(|(end, begin)| end.saturating_sub(begin));
            self.name = Some(sent.name);
        }
    }

    fn line(&self, full: bool, has_monitors: bool) -> String {
        let time = self.entry.time.map(seconds).unwrap_or_default();
        let sign = self.kind.sign(self.entry.direction);
        let mut line = format!("{time:>12}  ");
        if has_monitors {
            line += &format!("{:<8} ", inline(&cut(self.entry.monitor.chars(), MAX_TEXT)));
        }
        line += &format!("{sign:<2} ");
        line += &inline(self.name.as_deref().unwrap_or(match self.kind {
            Kind::Greeting => "greeting",
            Kind::Text => "not JSON:",
            _ => "?",
        }));
        if let Some(detail) = &self.detail {
            let width = if full { usize::MAX } else { WIDTH };
            let detail = match detail {
                Detail::Json(json) => cut(compact(json), width),
                Detail::Text(text) => cut(text.chars(), width),
            };
            line.push(' ');
            line += &inline(&detail);
        }
        if self.entry.fds > 0 {
            line += &format!("  [{} fds]", self.entry.fds);
        }
        if let Some(latency) = self.latency {
            line += &format!("  ({} ms)", milliseconds(latency));
        }
        line
    }

    fn to_json(&self) -> String {
        let quote = |text: &str| Value::from(text).to_string();
        let name = self.name.as_deref().map_or_else(|| "null".to_owned(), quote);
        let number = |number: Option<u64>| json!(number).to_string();
        let mut object = format!(
            "{{\"line\":{},\"time\":{},\"monitor\":{},\"kind\":\"{}\",\"name\":{name},\
             \"latency\":{},\"fds\":{},\"detail\":",
            self.entry.line,
            number(self.entry.time),
            quote(&self.entry.monitor),
            self.kind.as_str(),
            number(self.latency),
            self.entry.fds
        );
        match &self.detail {
            Some(Detail::Json(json)) => object.extend(compact(json)),
            Some(Detail::Text(text)) => object += &quote(text),
            None => object += "null",
        }
        object.push('}');
        object
    }
}

/// Returns the version in a greeting.
fn version(greeting: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Greeting {
        version: qmp_client::Version,
    }
    let greeting = qmp_types::decode::<Greeting>(greeting.get());
    greeting.map(|greeting| format!("QEMU {}", greeting.version)).unwrap_or_default()
}

/// Returns the class and the description of an error.
fn description(error: &RawValue) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Error<'e> {
        #[serde(borrow)]
        class: Cow<'e, str>,
        #[serde(borrow)]
        desc: Cow<'e, str>,
    }
    let Error { class, desc } = qmp_types::decode(error.get()).unwrap_or_default();
    format!("{}: {}", cut(class.chars(), MAX_TEXT), cut(desc.chars(), MAX_TEXT))
}

impl Summary {
    fn add(&mut self, moment: &Moment<'_>) {
        match moment.kind {
            Kind::Command | Kind::OutOfBand => self.commands += 1,
            Kind::Error => self.errors += 1,
            Kind::Event => self.events += 1,
            Kind::Greeting | Kind::Reply | Kind::Text => {}
        }
        self.end = self.end.max(moment.entry.time.unwrap_or(0));
        if let Some(latency) = moment.latency {
            if self.slowest.as_ref().is_none_or(|(slowest, _)| latency > *slowest) {
                self.slowest = Some((latency, moment.name.clone().unwrap_or_default()));
            }
        }
    }

    fn text(&self) -> String {
        let mut text = [
            count(self.commands, "command"),
            count(self.errors, "error"),
            count(self.events, "event"),
        ]
        .join(", ");
        text += &format!(" in {} s", seconds(self.end));
        if self.unanswered > 0 {
            text += &format!("; {} without a reply", count(self.unanswered as u64, "command"));
        }
        if let Some((latency, name)) = &self.slowest {
            text += &format!("; slowest: {} ({} ms)", inline(name), milliseconds(*latency));
        }
        text
    }
}

fn title(header: &Header) -> String {
    let mut title = format!("recorded by {}", inline(&header.by));
    if let Some(version) = &header.qemu {
        title += &format!(" from QEMU {}", Printable(&version.to_string()));
    }
    if let Some(time) = utc(header.started) {
        title += &format!(" at {time}");
    }
    title
}

/// Formats a time as in RFC 3339. Returns none if it is unknown, or after the year 9999.
fn utc(time: Timestamp) -> Option<String> {
    let seconds = u64::try_from(time.seconds).ok().filter(|seconds| *seconds < 253_402_300_800)?;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with the day that not all of them have.
    let era_day = days + 719_468;
    let (era, day) = (era_day / 146_097, era_day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let day = day - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

fn count(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:03}", microseconds / 1000, microseconds % 1000)
}

/// Collects up to a number of characters, and says so if there are more.
fn cut(mut characters: impl Iterator<Item = char>, most: usize) -> String {
    let mut text: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc() {
        for (seconds, expected) in [
            (0, Some("1970-01-01T00:00:00Z")),
            (951_782_400, Some("2000-02-29T00:00:00Z")),
            (1_764_195_599, Some("2025-11-26T22:19:59Z")),
            (4_107_542_399, Some("2100-02-28T23:59:59Z")),
            (4_107_542_400, Some("2100-03-01T00:00:00Z")),
            (i64::MAX, None),
            (-1, None),
        ] {
            let time = utc(Timestamp { seconds, microseconds: 0 });
            assert_eq!(time.as_deref(), expected, "{seconds}");
        }
    }
}
