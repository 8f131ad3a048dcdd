//! Scripts: where their lines come from, and their execution.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::secrets::masked;
use super::session::{Outcome, Session};

/// The longest line, and the longest statement, in bytes.
const LONGEST: usize = 64 << 20;
/// The number of lines that are read ahead.
const AHEAD: usize = 256;
/// The shortest and the longest time between two looks at an idle input, while events are shown.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// The time within which what follows after `quit` has been read.
const REST: Duration = Duration::from_millis(100);

/// The source of a script.
#[derive(Debug)]
pub struct Script {
    file: Option<String>,
    lines: Lines,
    /// The number of the line that was read last.
    number: usize,
}

#[derive(Debug)]
enum Lines {
    Given(std::vec::IntoIter<String>),
    /// A thread reads, so that events are shown while the input is idle.
    Read(Receiver<io::Result<Vec<u8>>>),
}

impl Script {
    /// Returns the script of commands that were given one by one.
    #[must_use]
    pub fn commands(commands: Vec<String>) -> Self {
        Self { file: None, lines: Lines::Given(commands.into_iter()), number: 0 }
    }

    /// Reads a script in a thread. Without a name, it is the standard input.
    pub fn read(file: Option<String>, input: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::sync_channel(AHEAD);
        std::thread::spawn(move || {
            let mut input = BufReader::new(input);
            while let Some(line) = read_line(&mut input).transpose() {
                let is_over = line.is_err();
                if sender.send(line).is_err() || is_over {
                    break;
                }
            }
        });
        Self { file, lines: Lines::Read(lines), number: 0 }
    }

    /// Returns the next line, and shows events until there is one.
    fn next<W: Write>(&mut self, session: &mut Session<W>) -> io::Result<Next> {
        let mut look = LOOKS.0;
        let line = loop {
            let lines = match &mut self.lines {
                Lines::Given(lines) => break lines.next().map(String::into_bytes),
                Lines::Read(lines) => lines,
            };
            match lines.try_recv() {
                Ok(line) => break Some(line.map_err(|error| unreadable(&self.file, &error))?),
                Err(TryRecvError::Disconnected) => break None,
                Err(TryRecvError::Empty) => {
                    if session.pump(look)? == Outcome::Lost {
                        return Ok(Next::Lost);
                    }
                    look = (look * 2).min(LOOKS.1);
                }
            }
        };
        Ok(self.count(line))
    }

    /// Returns the next line if it comes soon.
    fn rest(&mut self) -> io::Result<Next> {
        let line = match &mut self.lines {
            Lines::Given(lines) => lines.next().map(String::into_bytes),
            Lines::Read(lines) => match lines.recv_timeout(REST) {
                Ok(line) => Some(line.map_err(|error| unreadable(&self.file, &error))?),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
            },
        };
        Ok(self.count(line))
    }

    fn count(&mut self, line: Option<Vec<u8>>) -> Next {
        let Some(mut line) = line else { return Next::End };
        self.number += 1;
        if self.number == 1 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..'\u{feff}'.len_utf8());
        }
        String::from_utf8(line).map_or(Next::Invalid, Next::Line)
    }
}

/// Returns the error of a script that cannot be read, with its name.
fn unreadable(file: &Option<String>, error: &io::Error) -> io::Error {
    let name = file.as_deref().unwrap_or("standard input");
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

/// Reads a line without its line feed; `None` at the end.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let length = input.take(LONGEST as u64).read_until(b'\n', &mut line)?;
    if length == LONGEST && line.last() != Some(&b'\n') {
        return Err(io::Error::other(format!("a line has more than {LONGEST} bytes")));
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok((length > 0).then_some(line))
}

enum Next {
    Line(String),
    /// A line is not UTF-8.
    Invalid,
    End,
    /// The connection has ended.
    Lost,
}

/// Executes scripts, and keeps what went wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    failed: bool,
    timed_out: bool,
    lost: bool,
}

impl Tally {
    /// Returns the worst outcome of all statements: that the connection was lost, a deadline passed,
    /// or a statement failed.
    #[must_use]
    pub fn worst(self) -> Outcome {
        match self {
            Self { lost: true, .. } => Outcome::Lost,
            Self { timed_out: true, .. } => Outcome::Timeout,
            Self { failed: true, .. } => Outcome::Failed,
            _ => Outcome::Done,
        }
    }

    /// Executes a script, and returns whether another one may follow.
    ///
    /// # Errors
    /// The script cannot be read, or the output cannot be written.
    pub fn run<W: Write>(
        &mut self,
        session: &mut Session<W>,
        script: &mut Script,
    ) -> io::Result<bool> {
        let mut pending = Statements::default();
        loop {
            match script.next(session)? {
                Next::Line(line) => {
                    if !pending.add(&line, script.number, session) {
                        continue;
                    }
                }
                Next::Invalid => {
                    session.at(script.file.as_deref(), Some(script.number));
                    self.add(session.invalid("the line is not UTF-8")?);
                    continue;
                }
                Next::Lost => {
                    self.lost = true;
                    session.lost()?;
                    return Ok(false);
                }
                Next::End if pending.text.is_empty() => return Ok(true),
                Next::End => {
                    session.at(script.file.as_deref(), Some(pending.first));
                    self.add(session.line(&pending.take())?);
                    return Ok(!self.lost);
                }
            }
            session.at(script.file.as_deref(), Some(pending.first));
            let text = pending.take();
            let is_exit = text.split('#').next().is_some_and(|text| text.trim() == "exit");
            let outcome = session.line(&text)?;
            self.add(outcome);
            match outcome {
                Outcome::Done => {}
                Outcome::Ended if is_exit => return Ok(false),
                Outcome::Ended => return self.check_nothing_follows(session, script),
                Outcome::Lost => return Ok(false),
                _ if session.settings().exit_on_error => return Ok(false),
                _ => {}
            }
        }
    }

    /// Adds the outcome of a statement.
    pub fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done | Outcome::Ended => {}
            Outcome::Failed | Outcome::Interrupted => self.failed = true,
            Outcome::Timeout => self.timed_out = true,
            Outcome::Lost => self.lost = true,
        }
    }

    /// Fails if a statement follows after the machine has ended; blank lines and comments are fine.
    fn check_nothing_follows<W: Write>(
        &mut self,
        session: &mut Session<W>,
        script: &mut Script,
    ) -> io::Result<bool> {
        while let Next::Line(line) = script.rest()? {
            if !matches!(session.parse(&line), Ok(None)) {
                session.at(script.file.as_deref(), Some(script.number));
                let line = masked(line.trim());
                self.add(
                    session
                        .invalid(&format!("not executed because the machine has exited: {line}"))?,
                );
                break;
            }
        }
        Ok(false)
    }
}

/// The lines of a statement that may not be complete.
#[derive(Debug, Default)]
struct Statements {
    text: String,
    first: usize,
}

impl Statements {
    /// Adds a line, and returns whether the statement can be executed.
    fn add<W: Write>(&mut self, line: &str, number: usize, session: &Session<W>) -> bool {
        let is_first = self.text.is_empty();
        if is_first {
            self.first = number;
        } else {
            self.text.push('\n');
        }
        self.text += line;
        if is_first && !line.contains(['(', '[', '{']) {
            return true;
        }
        // Most lines of a long statement cannot end it, and need not be parsed together with all
        // that came before.
        if !is_first && !line.contains([')', ']', '}']) && self.text.len() < LONGEST {
            return false;
        }
        !session.is_incomplete(&self.text) || self.text.len() >= LONGEST
    }

    fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
