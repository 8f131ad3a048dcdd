//! A transcript of everything that is said to a VM and by it, in a file of its own.
//!
//! The hook is shown every message both ways, as text, and keeps what it likes. Here it leaves out
//! what would fill the disk (queries and their replies, and the clock's event), and blots out what
//! must not be on the disk (passwords, keys). A reply has only the id of its command: so the ids
//! of what was left out are remembered until they are answered.
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
    // Appended to, so that the transcripts of several connections follow each other.
    let file = File::options().create(true).append(true).open(path)?;
    run(address, file).map_err(|error| error.report())?;
    Ok(())
}

/// Executes something, and keeps the transcript of it.
pub fn run(address: &str, file: impl Write + Send + 'static) -> Result<()> {
    let mut transcript = Transcript { file, left_out: HashSet::new() };
    let options = Options::new().transcript(move |direction, message| {
        // The connection is worth more than its transcript.
        if let Err(error) = transcript.keep(direction, message) {
            eprintln!("the transcript has a gap: {error}");
        }
    });
    let mut vm = Client::connect_with(address, &options)?;
    vm.execute(QueryStatus::new())?;
    vm.execute(Stop::new())?;
    vm.execute(Cont::new())?;
    // As a disk's key is given.
    let secret = SecretProperties::new().data("open sesame");
    vm.execute(ObjectAdd::new(ObjectOptions::new(secret, "key")))?;
    vm.execute(ObjectDel::new("key"))?;
    Ok(())
}

struct Transcript<W> {
    file: W,
    /// The ids of commands that were left out, and are not answered yet.
    left_out: HashSet<String>,
}

impl<W: Write> Transcript<W> {
    fn keep(&mut self, direction: Direction, message: &str) -> io::Result<()> {
        // What is no JSON is kept as it is: it is what one looks for afterwards.
        let Ok(mut content) = serde_json::from_str::<Value>(message) else {
            return self.line(direction, message.trim_end());
        };
        if self.leaves_out(&content) {
            return Ok(());
        }
        match blot_out_secrets(&mut content) {
            true => self.line(direction, &content.to_string()),
            // As it came, to the byte.
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
        // An error is worth its line.
        id.is_some_and(|id| self.left_out.remove(&id)) && message.get("error").is_none()
    }

    fn line(&mut self, direction: Direction, text: &str) -> io::Result<()> {
        let arrow = match direction {
            Direction::Sent => '>',
            Direction::Received => '<',
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // One write a line: whoever follows the file never sees half of one.
        let line = format!("{}.{:03} {arrow} {text}\n", now.as_secs(), now.subsec_millis());
        self.file.write_all(line.as_bytes())
    }
}

/// Of `set_password` and its kin, and of a secret in `object-add`. Whether there were any.
fn blot_out_secrets(message: &mut Value) -> bool {
    let is_secret = message.pointer("/arguments/qom-type").is_some_and(|kind| kind == "secret");
    let Some(Value::Object(arguments)) = message.get_mut("arguments") else { return false };
    let mut any = false;
    for (name, value) in arguments {
        if name.contains("password") || (is_secret && name == "data") {
            *value = Value::from("(blotted out)");
            any = true;
        }
    }
    any
}
