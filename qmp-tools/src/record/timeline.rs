//! Shows a recording as a timeline.

use std::collections::HashMap;
use std::io::BufRead;

use clap::Args;
use qmp_client::Timestamp;
use qmp_client::protocol::Printable;
use qmp_client::recording::{Content, Direction, Entry, Header, Reader, RecordingError};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::terminal::{self, inline};

/// The width of details, in characters.
const WIDTH: usize = 100;
/// The greatest number of commands that wait for their replies.
const MAX_WAITING: usize = 1 << 16;

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
    #[arg(long, value_name = "MS")]
    pub slower: Option<f64>,

    /// Show only messages of this connection
    #[arg(long, value_name = "NAME")]
    pub monitor: Option<String>,
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
    detail: Option<Value>,
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

/// Commands that wait for their replies: by connection and id, in order.
#[derive(Default)]
struct Waiting {
    commands: HashMap<(String, String), std::collections::VecDeque<Sent>>,
    count: usize,
}

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
    let (mut waiting, mut summary) = (Waiting::default(), Summary::default());
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
    summary.unanswered = waiting.count;
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
    fn new(entry: &'e Entry, waiting: &mut Waiting) -> Self {
        let (kind, name, detail, id) = match &entry.content {
            Content::Text(text) => (Kind::Text, None, Some(text.clone().into()), None),
            Content::Message(message) => read(entry.direction, message),
        };
        let mut this = Self { entry, kind, name, latency: None, detail };
        match kind {
            Kind::Command | Kind::OutOfBand => waiting.sent(&this, id.as_ref()),
            Kind::Reply | Kind::Error => {
                if let Some(sent) = waiting.replied(&entry.monitor, id.as_ref()) {
                    let times = entry.time.zip(sent.time);
                    this.latency = times.map(|(end, begin)| end.saturating_sub(begin));
                    this.name = Some(sent.name);
                }
            }
            Kind::Greeting | Kind::Event | Kind::Text => {}
        }
        this
    }

    fn line(&self, full: bool, has_monitors: bool) -> String {
        let time = self.entry.time.map(seconds).unwrap_or_default();
        let sign = self.kind.sign(self.entry.direction);
        let mut line = format!("{time:>12}  ");
        if has_monitors {
            line += &format!("{:<8} ", inline(&self.entry.monitor));
        }
        line += &format!("{sign:<2} ");
        line += &inline(self.name.as_deref().unwrap_or(match self.kind {
            Kind::Greeting => "greeting",
            Kind::Text => "not JSON:",
            _ => "?",
        }));
        if let Some(detail) = &self.detail {
            let detail = match (self.kind, detail) {
                (Kind::Error | Kind::Greeting | Kind::Text, Value::String(text)) => text.clone(),
                _ => detail.to_string(),
            };
            let detail = if full { detail } else { cut(&detail) };
            line += &format!(" {}", inline(&detail));
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
        let mut object = Map::new();
        object.insert("line".to_owned(), self.entry.line.into());
        object.insert("time".to_owned(), json!(self.entry.time));
        object.insert("monitor".to_owned(), json!(self.entry.monitor));
        object.insert("kind".to_owned(), self.kind.as_str().into());
        object.insert("name".to_owned(), json!(self.name));
        object.insert("latency".to_owned(), json!(self.latency));
        object.insert("fds".to_owned(), self.entry.fds.into());
        object.insert("detail".to_owned(), json!(self.detail));
        Value::Object(object).to_string()
    }
}

/// Returns the kind of a message, the name of its command or event, the details and the id.
fn read(
    direction: Direction,
    message: &RawValue,
) -> (Kind, Option<String>, Option<Value>, Option<Value>) {
    let Ok(mut members) = serde_json::from_str::<Map<String, Value>>(message.get()) else {
        return (Kind::Text, None, Some(message.get().into()), None);
    };
    let id = members.remove("id");
    let text = |value: Value| value.as_str().map(str::to_owned);
    let mut take = |name: &str| members.remove(name);
    if direction == Direction::Sent {
        let in_band = take("execute").map(|name| (Kind::Command, name));
        let command = in_band.or_else(|| take("exec-oob").map(|name| (Kind::OutOfBand, name)));
        return match command {
            Some((kind, name)) => (kind, text(name), take("arguments"), id),
            None => (Kind::Text, None, Some(message.get().into()), id),
        };
    }
    if let Some(greeting) = take("QMP") {
        let version = greeting.get("version").cloned().unwrap_or_default();
        let version = serde_json::from_value::<qmp_client::Version>(version);
        let version = version.map(|version| format!("QEMU {version}")).unwrap_or_default();
        return (Kind::Greeting, None, Some(version.into()), None);
    }
    if let Some(name) = take("event") {
        return (Kind::Event, text(name), take("data"), None);
    }
    if let Some(error) = take("error") {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let detail = format!("{}: {}", part("class"), part("desc"));
        return (Kind::Error, None, Some(detail.into()), id);
    }
    match take("return") {
        Some(value) => (Kind::Reply, None, Some(value), id),
        None => (Kind::Text, None, Some(message.get().into()), id),
    }
}

impl Waiting {
    fn key(monitor: &str, id: Option<&Value>) -> (String, String) {
        (monitor.to_owned(), id.map(Value::to_string).unwrap_or_default())
    }

    fn sent(&mut self, moment: &Moment<'_>, id: Option<&Value>) {
        if self.count < MAX_WAITING {
            self.count += 1;
            let name = moment.name.clone().unwrap_or_default();
            let sent = Sent { name, time: moment.entry.time };
            self.commands.entry(Self::key(&moment.entry.monitor, id)).or_default().push_back(sent);
        }
    }

    fn replied(&mut self, monitor: &str, id: Option<&Value>) -> Option<Sent> {
        let key = Self::key(monitor, id);
        let queue = self.commands.get_mut(&key)?;
        let sent = queue.pop_front()?;
        self.count -= 1;
        if queue.is_empty() {
            self.commands.remove(&key);
        }
        Some(sent)
    }
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

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
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
