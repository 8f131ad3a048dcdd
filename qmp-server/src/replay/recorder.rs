//! Writes recordings.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::value::RawValue;

use crate::json::to_json;
use crate::sync::lock;

/// Writes the messages of a client in the format of a [`Recording`](super::Recording).
///
/// The transcript hook of `qmp-client` passes it the messages, with their secrets masked:
///
/// ```
/// use qmp_server::replay::{Recorder, Recording};
///
/// # fn transcript(_: impl FnMut(Direction, &str) + Send + 'static) {}
/// # enum Direction { Sent, Received }
/// let mut file = std::fs::File::create(std::env::temp_dir().join("recording-of-a-session"))?;
/// let recorder = Recorder::new(file);
/// let hook = recorder.clone();
/// // qmp_client::Options::new().transcript(..)
/// transcript(move |direction, message| match direction {
///     Direction::Sent => hook.sent(message),
///     Direction::Received => hook.received(message),
/// });
/// // At the end:
/// recorder.finish()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Clones write to the same recording.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<State>>);

struct State {
    writer: Box<dyn Write + Send>,
    begin: Instant,
    error: Option<io::Error>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Creates a recorder. The time begins now.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        let state = State { writer: Box::new(writer), begin: Instant::now(), error: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Records a message that the client has sent.
    pub fn sent(&self, message: &str) {
        self.record("sent", message);
    }

    /// Records a message that the client has received.
    pub fn received(&self, message: &str) {
        self.record("received", message);
    }

    /// Flushes the recording.
    ///
    /// # Errors
    /// Returns the first error that writing has caused. Later messages have not been recorded.
    pub fn finish(&self) -> io::Result<()> {
        let mut state = lock(&self.0);
        match state.error.take() {
            Some(error) => Err(error),
            None => state.writer.flush(),
        }
    }

    fn record(&self, direction: &str, message: &str) {
        let mut state = lock(&self.0);
        if state.error.is_some() {
            return;
        }
        let time = state.begin.elapsed().as_secs_f64();
        // A message may be spread over lines, and not be JSON.
        let message: String =
            message.chars().filter(|letter| !matches!(letter, '\n' | '\r')).collect();
        let content = match serde_json::from_str::<&RawValue>(&message) {
            Ok(message) => format!("\"message\": {}", message.get()),
            Err(_) => format!("\"text\": {}", to_json(&message).unwrap_or_default()),
        };
        let written = writeln!(
            state.writer,
            "{{\"time\": {time:.6}, \"direction\": \"{direction}\", {content}}}"
        );
        state.error = written.err();
    }
}
