//! The statements that only a guest agent's session has.
//!
//! ```text
//! exec PROGRAM [ARG...]     run a program in the guest, and show its output
//! cat PATH                  show a text file of the guest
//! get PATH [FILE]           copy a file from the guest
//! put FILE [PATH]           copy a file to the guest
//! fsinfo                    list the guest's file systems
//! ```
//!
//! Words are separated by spaces. Quotes, single or double, make one word of several; in double
//! quotes and outside of quotes, a backslash takes the next character as it is.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use qmp_client::qga::commands::GuestGetFsinfo;
use qmp_client::qga::types::GuestFilesystemInfo;
use qmp_client::{Error, Raw};
use qmp_vm::blocking::Agent;
use qmp_vm::{Exec, ExecOutput};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::{Outcome, Session};
use crate::shell::output::{ErrorKind, Mode, Origin};
use crate::terminal;

/// The time between two looks at whether the wait is interrupted.
const SLICE: Duration = Duration::from_millis(25);
/// The largest file that is copied or shown, in bytes.
const LARGEST: usize = 256 << 20;
/// The deadline where none is set: a program may run for long.
const LONG: Duration = Duration::from_secs(7 * 24 * 3600);

/// A statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AgentStatement {
    Exec(Vec<String>),
    Cat(String),
    Get(String, String),
    Put(String, String),
    Fsinfo,
    /// The words are not as they should be.
    Usage(&'static str),
}

/// Returns whether a text is a statement that only a guest agent's session has.
#[must_use]
pub fn is_agent_statement(text: &str) -> bool {
    let name = text.split_whitespace().next();
    name.is_some_and(|name| ["exec", "cat", "get", "put", "fsinfo"].contains(&name))
}

/// Parses a text; `None` if it is a statement of another kind.
pub(super) fn parse(text: &str) -> Option<AgentStatement> {
    let name = text.split_whitespace().next()?;
    if !is_agent_statement(name) {
        return None;
    }
    let Some(words) = words(text) else {
        return Some(AgentStatement::Usage("a quote is not closed"));
    };
    let mut words = words.into_iter().skip(1).collect::<Vec<_>>();
    let last = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    Some(match (name, &mut words[..]) {
        ("exec", [_, ..]) => AgentStatement::Exec(words),
        ("exec", _) => AgentStatement::Usage("expected `exec PROGRAM [ARG...]`"),
        ("cat", [path]) => AgentStatement::Cat(std::mem::take(path)),
        ("cat", _) => AgentStatement::Usage("expected `cat PATH`"),
        ("get", [path]) => AgentStatement::Get(path.clone(), last(path)),
        ("get", [path, file]) => AgentStatement::Get(std::mem::take(path), std::mem::take(file)),
        ("get", _) => AgentStatement::Usage("expected `get PATH [FILE]`"),
        ("put", [file]) => AgentStatement::Put(file.clone(), last(file)),
        ("put", [file, path]) => AgentStatement::Put(std::mem::take(file), std::mem::take(path)),
        ("put", _) => AgentStatement::Usage("expected `put FILE [PATH]`"),
        (_, []) => AgentStatement::Fsinfo,
        _ => AgentStatement::Usage("`fsinfo` has no arguments"),
    })
}

/// Splits a text into words; `None` if a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if quote == Some(character) => quote = None,
            '\\' if quote != Some('\'') => word.get_or_insert_default().push(characters.next()?),
            _ if quote.is_some() => word.get_or_insert_default().push(character),
            '"' | '\'' => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            '#' if word.is_none() => break,
            _ if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A failure of a statement.
enum Fault {
    Interrupted,
    Client(Error),
    Local(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl<W: Write> Session<W> {
    pub(super) fn agent_statement(&mut self, statement: AgentStatement) -> io::Result<Outcome> {
        let name = match &statement {
            AgentStatement::Exec(_) => "exec",
            AgentStatement::Cat(_) => "cat",
            AgentStatement::Get(..) => "get",
            AgentStatement::Put(..) => "put",
            AgentStatement::Fsinfo => "fsinfo",
            AgentStatement::Usage(usage) => return self.invalid(usage),
        };
        self.late.clear();
        let origin = self.origin(Some(name));
        let done = match statement {
            AgentStatement::Exec(words) => match self.run_program(words) {
                Ok(output) => return self.show_program(&origin, &output),
                Err(fault) => Err(fault),
            },
            AgentStatement::Cat(path) => match self.read_guest_file(path) {
                Ok(bytes) => return self.show_file(&origin, &bytes),
                Err(fault) => Err(fault),
            },
            AgentStatement::Get(path, file) => self.get(path, &file),
            AgentStatement::Put(file, path) => self.put(&file, path),
            AgentStatement::Usage(_) | AgentStatement::Fsinfo => match self.file_systems() {
                Ok(list) => return self.show_file_systems(&origin, &list),
                Err(fault) => Err(fault),
            },
        };
        match done {
            Ok(value) => {
                if matches!(self.output.mode, Mode::Raw | Mode::Jsonl | Mode::Compact) {
                    self.output.reply(&origin, &to_raw_value(&value)?)?;
                } else {
                    self.output.text(&format!("{} bytes", value["bytes"]))?;
                }
                Ok(Outcome::Done)
            }
            Err(Fault::Interrupted) => Ok(Outcome::Interrupted),
            Err(Fault::Client(error)) => self.failed(&origin, &error),
            Err(Fault::Local(message)) => self.fail(&origin, ErrorKind::Other, message),
        }
    }

    /// Calls a function of the agent in a thread, so that the wait for it can be interrupted. The
    /// function goes on then, until its deadline.
    fn in_background<T: Send + 'static>(
        &mut self,
        function: impl FnOnce(&Agent, Duration) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Fault> {
        let agent = Agent::from_client(self.client.clone());
        let within = self.settings.timeout.unwrap_or(LONG);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || sender.send(function(&agent, within)));
        loop {
            match receiver.recv_timeout(SLICE) {
                Ok(result) => return Ok(result?),
                Err(RecvTimeoutError::Timeout) if self.interrupt.take() => {
                    return Err(Fault::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
                // A panic has been printed.
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Local(String::from("internal error")));
                }
            }
        }
    }

    fn run_program(&mut self, words: Vec<String>) -> Result<ExecOutput, Fault> {
        self.in_background(move |agent, within| {
            let mut words = words.into_iter();
            let program = Exec::new(words.next().unwrap_or_default()).args(words).within(within);
            agent.exec(&program)
        })
    }

    /// Shows the output of a program, and its status if that is not 0: the statement has failed then.
    fn show_program(&mut self, origin: &Origin, output: &ExecOutput) -> io::Result<Outcome> {
        let outcome = if output.success() { Outcome::Done } else { Outcome::Failed };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if matches!(self.output.mode, Mode::Raw | Mode::Jsonl) {
            let value = json!({
                "exitcode": output.exitcode,
                "signal": output.signal,
                "stdout": stdout,
                "stderr": stderr,
                "truncated": output.truncated(),
            });
            self.output.reply(origin, &to_raw_value(&value)?)?;
            return Ok(outcome);
        }
        self.show_text(&stdout)?;
        if !stderr.is_empty() {
            self.output.message(&terminal::lines(stderr.trim_end_matches('\n')))?;
        }
        if output.truncated() {
            self.output
                .message("the output is not complete: the agent keeps 16 MiB of each stream")?;
        }
        match (output.exitcode, output.signal) {
            _ if output.success() => {}
            (_, Some(signal)) => {
                let message = format!("the program was ended by the signal {signal}");
                self.fail(origin, ErrorKind::Other, message)?;
            }
            (code, None) => {
                let code = code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
                let message = format!("the program exited with the status {code}");
                self.fail(origin, ErrorKind::Other, message)?;
            }
        }
        Ok(outcome)
    }

    fn read_guest_file(&mut self, path: String) -> Result<Vec<u8>, Fault> {
        let read = self.in_background(move |agent, within| {
            agent.read_file(&path, LARGEST.saturating_add(1), within)
        })?;
        if read.len() > LARGEST {
            return Err(Fault::Local(format!("the file has more than {LARGEST} bytes")));
        }
        Ok(read)
    }

    fn show_file(&mut self, origin: &Origin, bytes: &[u8]) -> io::Result<Outcome> {
        let text = String::from_utf8_lossy(bytes);
        if matches!(self.output.mode, Mode::Raw | Mode::Jsonl) {
            self.output.reply(origin, &to_raw_value(&*text)?)?;
        } else {
            self.show_text(&text)?;
        }
        Ok(Outcome::Done)
    }

    fn show_text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() { Ok(()) } else { self.output.text(&text.replace("\r\n", "\n")) }
    }

    /// Copies a file from the guest. A local file is replaced only once everything has arrived.
    fn get(&mut self, path: String, file: &str) -> Result<Value, Fault> {
        let bytes = self.read_guest_file(path)?;
        fs::write(file, &bytes).map_err(|error| local(file, &error))?;
        Ok(json!({"bytes": bytes.len()}))
    }

    fn put(&mut self, file: &str, path: String) -> Result<Value, Fault> {
        let bytes = read_local(file.as_ref()).map_err(|error| local(file, &error))?;
        let length = bytes.len();
        self.in_background(move |agent, within| agent.write_file(&path, &bytes, within))?;
        Ok(json!({"bytes": length}))
    }

    fn file_systems(&mut self) -> Result<Box<RawValue>, Fault> {
        self.in_background(|agent, within| {
            let name = <GuestGetFsinfo as qmp_client::Command>::NAME;
            agent.execute_within(Raw::<Box<RawValue>>::new(name), within)
        })
    }

    fn show_file_systems(&mut self, origin: &Origin, list: &RawValue) -> io::Result<Outcome> {
        let is_text = matches!(self.output.mode, Mode::Pretty | Mode::Table);
        let decoded = serde_json::from_str::<Vec<GuestFilesystemInfo>>(list.get());
        let shown = match decoded {
            Ok(list) if is_text => to_raw_value(&list.iter().map(Row::new).collect::<Vec<_>>())?,
            _ => list.to_owned(),
        };
        let mode = self.output.mode;
        if is_text {
            self.output.mode = Mode::Table;
        }
        let written = self.output.reply(origin, &shown);
        self.output.mode = mode;
        written.map(|()| Outcome::Done)
    }
}

/// A row of the table of file systems.
#[derive(Serialize)]
struct Row<'i> {
    mountpoint: &'i str,
    r#type: &'i str,
    used: String,
    total: String,
    name: &'i str,
    disk: String,
}

impl<'i> Row<'i> {
    fn new(info: &'i GuestFilesystemInfo) -> Self {
        let bytes = |bytes: Option<u64>| bytes.map_or_else(String::new, size);
        let disks = info.disk.iter().filter_map(|disk| disk.dev.as_deref()).collect::<Vec<_>>();
        Self {
            mountpoint: &info.mountpoint,
            r#type: &info.type_,
            used: bytes(info.used_bytes),
            total: bytes(info.total_bytes),
            name: &info.name,
            disk: disks.join(" "),
        }
    }
}

/// Formats a size in the largest unit in which it is at least one.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (bytes.max(1).ilog2() / 10) as usize;
    #[allow(clippy::cast_precision_loss)] // one decimal is shown
    let value = bytes as f64 / f64::from(1_u32 << 10).powi(i32::try_from(unit).unwrap_or(0));
    let number = format!("{value:.1}");
    format!("{} {}", number.strip_suffix(".0").unwrap_or(&number), units[unit])
}

fn local(file: &str, error: &io::Error) -> Fault {
    Fault::Local(format!("{}: {error}", terminal::inline(file)))
}

fn read_local(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LARGEST {
        return Err(io::Error::other(format!("the file has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (bytes, text) in
            [(0, "0 B"), (1536, "1.5 KiB"), (1 << 40, "1 TiB"), (u64::MAX, "16 EiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn words_are_a_program_and_its_arguments() {
        let exec = |words: &[&str]| {
            Some(AgentStatement::Exec(words.iter().map(|word| (*word).to_owned()).collect()))
        };
        for (text, expected) in [
            ("exec uname -r # kernel", exec(&["uname", "-r"])),
            (r#"exec sh -c "echo 'a \"b' > c""#, exec(&["sh", "-c", r#"echo 'a "b' > c"#])),
            (r"exec C:\\x.exe 'a\b' '' a\ b", exec(&[r"C:\x.exe", r"a\b", "", "a b"])),
            ("exec", Some(AgentStatement::Usage("expected `exec PROGRAM [ARG...]`"))),
            ("cat 'x", Some(AgentStatement::Usage("a quote is not closed"))),
            ("get /etc/a", Some(AgentStatement::Get("/etc/a".to_owned(), "a".to_owned()))),
            ("put b /c", Some(AgentStatement::Put("b".to_owned(), "/c".to_owned()))),
            ("guest-ping", None),
            ("execute", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
