//! Log files of a shell.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use qmp_client::Direction;

use crate::terminal::{self, notice};

/// A file to which the messages of a connection are appended, one per line: the time in seconds since
/// 1970, `->` for a command or `<-` for what the server sent, and the message.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    name: String,
    /// Whether everything has been written so far.
    is_complete: bool,
}

impl LogFile {
    /// Opens a log file, or creates one that only its owner can read.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let opened = options.open(path);
        let name = path.display().to_string();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        Ok(Self { file: opened.map_err(named)?, name, is_complete: true })
    }

    /// Appends a message. A log that cannot be written does not end the session, but is reported once.
    pub fn add(&mut self, direction: Direction, message: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let arrow = match direction {
            Direction::Sent => "->",
            Direction::Received => "<-",
        };
        // A message may have several lines.
        let message = message.trim().replace(['\r', '\n'], " ");
        let (seconds, fraction) = (now.as_secs(), now.subsec_micros());
        let line = format!("{seconds}.{fraction:06} {arrow} {}\n", terminal::json(&message));
        let written = self.file.write_all(line.as_bytes());
        match written {
            Err(error) if std::mem::take(&mut self.is_complete) => {
                notice(&format!("the log is incomplete: {}: {error}", self.name));
            }
            _ => {}
        }
    }
}
