//! Writes recordings.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Direction, VERSION};
use crate::redact::to_strict;
use crate::{Printable, Redactor, Timestamp};

/// Writes the messages of one or more connections to a recording, with their secrets masked.
///
/// Clones write about the same connection; [`monitor`](Self::monitor) adds another one. Each line is
/// written at once, so that a program that follows the recording never sees half of one. After an
/// error, nothing more is written, and [`finish`](Self::finish) returns the error.
///
/// ```
/// use qmp_types::recording::{Direction, Reader, Recorder};
///
/// let path = std::env::temp_dir().join(format!("session-{}.qmp", std::process::id()));
/// let recorder = Recorder::new(std::fs::File::create(&path)?, "vm");
/// recorder.message(Direction::Sent, r#"{"execute": "query-status", "id": 1}"#, 0);
/// recorder.message(Direction::Received, r#"{"return": {}, "id": 1}"#, 0);
/// recorder.finish()?;
/// let entries: Vec<_> = Reader::open(&path)?.collect::<Result<_, _>>()?;
/// assert_eq!(entries[1].direction, Direction::Received);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Recorder {
    file: Arc<Mutex<File>>,
    monitor: Arc<Monitor>,
}

/// The recording that is being written.
struct File {
    writer: Box<dyn Write + Send>,
    by: String,
    begin: Instant,
    has_header: bool,
    error: Option<io::Error>,
}

/// One connection.
struct Monitor {
    name: String,
    redactor: Mutex<Redactor>,
}

impl fmt::Debug for Recorder {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("monitor", &self.monitor.name).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Creates a recorder of a connection with this name. The time begins now. Without
    /// [`made_by`](Self::made_by), the header names this crate.
    pub fn new(writer: impl Write + Send + 'static, monitor: impl Into<String>) -> Self {
        let by = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned();
        let file = File {
            writer: Box::new(writer),
            by,
            begin: Instant::now(),
            has_header: false,
            error: None,
        };
        Self { file: Arc::new(Mutex::new(file)), monitor: Monitor::new(monitor.into()) }
    }

    /// Sets the program that the header names. This has no effect after the first message.
    #[must_use]
    pub fn made_by(self, program: impl Into<String>) -> Self {
        lock(&self.file).by = program.into();
        self
    }

    /// Returns a recorder of another connection, which writes to the same recording.
    #[must_use]
    pub fn monitor(&self, name: impl Into<String>) -> Self {
        Self { file: Arc::clone(&self.file), monitor: Monitor::new(name.into()) }
    }

    /// Records a message, and how many file descriptors came with it.
    #[inline]
    pub fn message(&self, direction: Direction, text: &str, fds: usize) {
        // The connection stays locked, so that its messages are in order.
        let mut redactor = lock(&self.monitor.redactor);
        let masked = match direction {
            Direction::Sent => redactor.sent(text),
            Direction::Received => redactor.received(text),
        };
        lock(&self.file).message(direction, &self.monitor.name, &masked, fds);
    }

    /// Flushes the recording.
    ///
    /// # Errors
    /// Returns the first error that writing has caused. Later messages have not been recorded.
    #[inline]
    pub fn finish(&self) -> io::Result<()> {
        let mut file = lock(&self.file);
        file.header(None);
        match file.error.take() {
            Some(error) => Err(error),
            None => file.writer.flush(),
        }
    }
}

impl Monitor {
    #[inline]
    fn new(name: String) -> Arc<Self> {
        Arc::new(Self { name, redactor: Mutex::default() })
    }
}

impl File {
    #[inline]
    fn message(&mut self, direction: Direction, monitor: &str, text: &str, fds: usize) {
        let time = self.begin.elapsed().as_micros();
        let strict = to_strict(text);
        let object = serde_json::from_str::<&RawValue>(&strict).ok().map(RawValue::get);
        let object = object.filter(|text| text.starts_with('{'));
        self.header(object);
        let mut line = String::with_capacity(text.len() + 100);
        // Writing to a string does not fail.
        let _ = write!(line, "{{\"time\": {time}, \"direction\": \"{direction}\", \"monitor\": ");
        push_json(&mut line, &quote(monitor));
        if fds > 0 {
            let _ = write!(line, ", \"fds\": {fds}");
        }
        match object {
            Some(message) => {
                line.push_str(", \"message\": ");
                push_json(&mut line, message);
            }
            None => {
                line.push_str(", \"text\": ");
                push_json(&mut line, &quote(text));
            }
        }
        line.push('}');
        self.line(line);
    }

    /// Writes the header, if this is the first line. The first message may be the greeting.
    #[inline]
    fn header(&mut self, first: Option<&str>) {
        if std::mem::replace(&mut self.has_header, true) {
            return;
        }
        let greeting = first.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let version = greeting.as_ref().and_then(|message| message.pointer("/QMP/version"));
        let started = serde_json::to_string(&Timestamp::now()).unwrap_or_default();
        let mut line = format!("{{\"qmp-recording\": {VERSION}, \"by\": ");
        push_json(&mut line, &quote(&self.by));
        let _ = write!(line, ", \"started\": {started}");
        if let Some(version) = version {
            line.push_str(", \"qemu\": ");
            push_json(&mut line, &version.to_string());
        }
        line.push('}');
        self.line(line);
    }

    #[inline]
    fn line(&mut self, mut line: String) {
        line.push('\n');
        if self.error.is_none() {
            self.error = self.writer.write_all(line.as_bytes()).err();
        }
    }
}

#[inline]
fn quote(text: &str) -> String {
    // A string has no reason to fail.
    serde_json::to_string(text).unwrap_or_default()
}

/// Appends JSON on one line, with the characters escaped that control a terminal.
#[inline]
fn push_json(line: &mut String, json: &str) {
    for character in json.chars() {
        match character {
            // These are between tokens: in a string, they are escaped already.
            '\n' | '\r' | '\t' => line.push(' '),
            _ if Printable::escapes(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            _ => line.push(character),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
