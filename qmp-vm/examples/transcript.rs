//! Keeps a transcript of everything that a VM and its client say, in a file.
//!
//! The hook receives every message in both directions, as text, and keeps what it likes. This one
//! leaves out what would fill the disk (queries, their replies, and the event of the clock), and
//! redacts what must not reach the disk (passwords and keys). A reply has only the id of its command,
//! so the ids of commands that were left out are remembered until they are answered.
//!
//! ```console
//! $ cargo run --example transcript -- unix:/run/vm.sock /var/log/vm.qmp
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Cont, ObjectAdd, ObjectDel, QueryStatus, Stop};
use qmp_client::qmp::types::{ObjectOptions, SecretProperties};
use qmp_client::{Direction, Options, Result};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path] = &arguments[..] else {
        return Err("usage: transcript ADDRESS FILE".into());
    };
    // Append, so that the transcripts of several connections follow each other.
    let file = File::options().create(true).append(true).open(path)?;
    run(address, file).map_err(|error| error.report())?;
    Ok(())
}

/// Executes a few commands, and keeps the transcript of them.
pub fn run(address: &str, file: impl Write + Send + 'static) -> Result<()> {
    let mut transcript = Transcript { file, left_out: HashSet::new() };
    let options = Options::new().transcript(move |direction, message| {
        // The connection is worth more than its transcript, so it goes on.
        if let Err(error) = transcript.keep(direction, message) {
            eprintln!("the transcript has a gap: {error}");
        }
    });
    let vm = Client::connect_with(address, &options)?;
    vm.execute(QueryStatus::new())?;
    vm.execute(Stop::new())?;
    vm.execute(Cont::new())?;
    // The key of an encrypted disk is passed in this way.
    let secret = SecretProperties::new().data("open sesame");
    vm.execute(ObjectAdd::new(ObjectOptions::new(secret, "key")))?;
    vm.execute(ObjectDel::new("key"))?;
    Ok(())
}

struct Transcript<W> {
    file: W,
    /// The ids of commands that were left out and have not been answered.
    left_out: HashSet<String>,
}

impl<W: Write> Transcript<W> {
    fn keep(&mut self, direction: Direction, message: &str) -> io::Result<()> {
        // Keep invalid JSON as it is: that is what one looks for afterwards.
        let Ok(mut content) = serde_json::from_str::<Value>(message) else {
            return self.line(direction, message.trim_end());
        };
        if self.leaves_out(&content) {
            return Ok(());
        }
        match redact(&mut content) {
            true => self.line(direction, &content.to_string()),
            // Keep every byte as it was sent.
            false => self.line(direction, message.trim_end()),
        }
    }

    fn leaves_out(&mut self, message: &Value) -> bool {
        let id = message.get("id").map(Value::to_string);
        let command = message.get("execute").or_else(|| message.get("exec-oob"));
        if let Some(command) = command.and_then(Value::as_str) {
            let is_query = command.starts_with("query-");
            self.left_out.extend(id.filter(|_| is_query));
            return is_query;
        }
        if let Some(event) = message.get("event") {
            return event == "RTC_CHANGE";
        }
        // An error is kept, even that of a query.
        id.is_some_and(|id| self.left_out.remove(&id)) && message.get("error").is_none()
    }

    fn line(&mut self, direction: Direction, text: &str) -> io::Result<()> {
        let arrow = match direction {
            Direction::Sent => '>',
            Direction::Received => '<',
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Write each line at once, so that a program that follows the file never sees half of one.
        let line = format!("{}.{:03} {arrow} {text}\n", now.as_secs(), now.subsec_millis());
        self.file.write_all(line.as_bytes())
    }
}

/// Redacts passwords, as in `set_password`, and the data of a secret in `object-add`. Returns whether
/// the message had any.
fn redact(message: &mut Value) -> bool {
    let is_secret = message.pointer("/arguments/qom-type").is_some_and(|kind| kind == "secret");
    let Some(Value::Object(arguments)) = message.get_mut("arguments") else { return false };
    let mut any = false;
    for (name, value) in arguments {
        if name.contains("password") || (is_secret && name == "data") {
            *value = Value::from("(redacted)");
            any = true;
        }
    }
    any
}
