//! The changes that the messages of a recording meet.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::rc::Rc;

use qmp_client::recording::{Content, Entry, Reader};
use qmp_codegen::diff::{Change, RootKind};
use serde_json::value::RawValue;

use super::super::Failure;
use super::super::changes::Place;
use super::Touched;
use crate::cli::chain;
use crate::record::message::{Message, Waiting, decode};
use crate::terminal::inline;

/// The number of bytes in which a file shows what it is.
const BEGINNING: u64 = 4096;

/// Returns whether a file begins with a JSON object.
pub(super) fn is_recording(path: &str) -> Result<bool, Failure> {
    let mut beginning = Vec::new();
    open(path)?
        .take(BEGINNING)
        .read_to_end(&mut beginning)
        .map_err(|error| unreadable(path, &error))?;
    Ok(beginning.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

/// Compares the messages of a recording.
pub(super) fn read(touched: &mut Touched<'_>, path: &str, name: &Rc<str>) -> Result<(), Failure> {
    let failed = |error| format!("'{}': {}", inline(path), chain(&error));
    let reader = Reader::new(BufReader::new(open(path)?)).map_err(failed)?;
    let mut messages = Messages { touched, file: name, waiting: Waiting::default() };
    for entry in reader {
        messages.entry(&entry.map_err(failed)?);
    }
    messages.end();
    Ok(())
}

fn open(path: &str) -> Result<impl BufRead, Failure> {
    Ok(BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?))
}

fn unreadable(path: &str, error: &std::io::Error) -> Failure {
    format!("cannot read '{path}': {error}").into()
}

/// The messages of a recording, one after the other.
struct Messages<'t, 's> {
    touched: &'t mut Touched<'s>,
    file: &'t Rc<str>,
    waiting: Waiting<Sent>,
}

/// A command whose reply tells whether it succeeded. One that failed tells nothing.
struct Sent {
    name: String,
    place: Place,
    /// The changes that the command meets, or none if the schema does not have it.
    changes: Option<Vec<Change>>,
}

impl Messages<'_, '_> {
    fn entry(&mut self, entry: &Entry) {
        let Content::Message(message) = &entry.content else { return };
        let place = Place { file: Rc::clone(self.file), line: entry.line, time: entry.time };
        match Message::read(entry.direction, message) {
            Message::Command { name, out_of_band, arguments, id } => {
                let Some(arguments) = self.decode(arguments) else { return };
                let changes = self.touched.usage.command(&name, &arguments, out_of_band);
                let sent = Sent { name, place, changes };
                // One that cannot be kept counts at once.
                let counts = self.waiting.sent(&entry.monitor, id, sent);
                counts.into_iter().for_each(|sent| self.succeeded(sent));
            }
            Message::Reply { value, id } => {
                let Some(sent) = self.waiting.replied(&entry.monitor, id) else { return };
                if let Some(value) = self.decode(Some(value)) {
                    let changes = self.touched.usage.reply(&sent.name, &value);
                    self.touched.add(changes.unwrap_or_default(), &place);
                }
                self.succeeded(sent);
            }
            Message::Error { id, .. } => {
                let failed = self.waiting.replied(&entry.monitor, id).is_some();
                self.touched.counts.failed += u64::from(failed);
            }
            Message::Event { name, data } => {
                let Some(data) = self.decode(data) else { return };
                let changes = self.touched.usage.event(&name, &data);
                self.uses(RootKind::Event, &name, changes, &place);
            }
            Message::Greeting(_) | Message::Other => {}
        }
    }

    /// Commands without a reply, such as the last one, count.
    fn end(mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest: Vec<Sent> = waiting.into_rest().collect();
        rest.sort_by_key(|sent| sent.place.line);
        rest.into_iter().for_each(|sent| self.succeeded(sent));
    }

    fn succeeded(&mut self, Sent { name, place, changes }: Sent) {
        self.uses(RootKind::Command, &name, changes, &place);
    }

    fn uses(&mut self, kind: RootKind, name: &str, changes: Option<Vec<Change>>, place: &Place) {
        self.touched.counts.uses(kind, name);
        match changes {
            Some(changes) => self.touched.add(changes, place),
            None => self.touched.counts.is_unknown(format!("{kind} {name}"), place),
        }
    }

    fn decode(&mut self, part: Option<&RawValue>) -> Option<serde_json::Value> {
        let value = decode(part).ok();
        self.touched.counts.skipped += u64::from(value.is_none());
        value
    }
}
