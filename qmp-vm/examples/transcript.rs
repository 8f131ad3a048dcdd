//! Keeps a transcript of everything that a VM and its client say, in a file.
//!
//! The hook receives every message in both directions, as text, and keeps what it likes. This one
//! leaves out what would fill the disk: queries, their replies, and the event of the clock. A reply
//! has only the id of its command, so the ids of commands that were left out are remembered until they
//! are answered. The recorder masks what must not reach the disk, such as passwords and keys, and its
//! file is one that `qmp record show` shows and `qmp replay` replays.
//!
//! If this program is killed, the transcript ends with the last message that was written, and these
//! may be left:
//!
//! - the stopped guest, which `cont` resumes;
//! - the object `key`, which `object-del` deletes;
//! - the file `FILE`.
//!
//! ```console
//! $ cargo run --example transcript -- unix:/run/vm.sock /var/log/vm.qmp
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::Write;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{Cont, ObjectAdd, ObjectDel, QueryStatus, Stop};
use qmp_client::qmp::types::{ObjectOptions, SecretProperties};
use qmp_client::recording::Recorder;
use qmp_client::{Options, Result};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path] = &arguments[..] else {
        return Err("usage: transcript ADDRESS FILE".into());
    };
    run(address, File::create(path)?).map_err(|error| error.report())?;
    Ok(())
}

/// Executes a few commands, and keeps the transcript of them.
pub fn run(address: &str, file: impl Write + Send + 'static) -> Result<()> {
    let recorder = Recorder::new(file, "vm");
    let (hook, mut left_out) = (recorder.clone(), LeftOut::default());
    let options = Options::new().transcript(move |direction, message| {
        if !left_out.has(message) {
            hook.message(direction, message, 0);
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
    // The connection is worth more than its transcript, so it went on.
    if let Err(error) = recorder.finish() {
        eprintln!("the transcript is not complete: {error}");
    }
    Ok(())
}

/// The ids of commands that were left out and have not been answered.
#[derive(Default)]
struct LeftOut(HashSet<String>);

impl LeftOut {
    fn has(&mut self, message: &str) -> bool {
        // Keep invalid JSON: that is what one looks for afterwards.
        let Ok(message) = serde_json::from_str::<Value>(message) else { return false };
        let id = message.get("id").map(Value::to_string);
        let command = message.get("execute").or_else(|| message.get("exec-oob"));
        if let Some(command) = command.and_then(Value::as_str) {
            let is_query = command.starts_with("query-");
            self.0.extend(id.filter(|_| is_query));
            return is_query;
        }
        if let Some(event) = message.get("event") {
            return event == "RTC_CHANGE";
        }
        // An error is kept, even that of a query.
        id.is_some_and(|id| self.0.remove(&id)) && message.get("error").is_none()
    }
}
