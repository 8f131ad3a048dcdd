//! What is known of the machine, learned in the background.

use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryCommands, QueryName, QueryUuid};

use super::assist::{Assist, Candidate, Completion};
use super::history;
use super::tty::Waker;
use crate::terminal;

/// How long the machine may take to answer what was not asked for by a person.
const DEADLINE: Duration = Duration::from_secs(5);

/// The names of the machine's commands.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// `None` until the machine has answered.
    commands: Arc<Mutex<Option<Vec<String>>>>,
}

impl Known {
    /// Begins to learn; also sends the file of the machine's history.
    pub(super) fn learn(
        &self,
        client: &Client,
        address: &str,
        history: Sender<PathBuf>,
        waker: Waker,
    ) {
        let (known, client, address) = (self.clone(), client.clone(), address.to_owned());
        std::thread::spawn(move || {
            if let Some(path) = history::file_of(&identity(&client, &address)) {
                let _ = history.send(path);
            }
            let names = client.call(QueryCommands::new()).within(DEADLINE).execute();
            let names = names.unwrap_or_default().into_iter().map(|command| command.name);
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            *known.commands.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
            waker.wake();
        });
    }
}

/// Returns what tells the machine from others.
fn identity(client: &Client, address: &str) -> String {
    let uuid = client.call(QueryUuid::new()).within(DEADLINE).execute();
    if let Ok(uuid) = uuid.map(|uuid| uuid.uuid) {
        // Without a UUID of its own, a machine has this one.
        if !uuid.is_empty() && uuid.contains(|digit| !matches!(digit, '0' | '-')) {
            return format!("uuid-{uuid}");
        }
    }
    match client.call(QueryName::new()).within(DEADLINE).execute().map(|info| info.name) {
        Ok(Some(name)) if !name.is_empty() => format!("name-{name}"),
        _ => format!("address-{address}"),
    }
}

impl Assist for Known {
    fn complete(&self, text: &str, cursor: usize) -> Completion {
        let prefix = text.get(..cursor).unwrap_or(text);
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let known = commands.as_deref();
        let names = known.unwrap_or_default().iter().filter(|name| name.starts_with(prefix));
        let candidates = names
            // A candidate is inserted as it is.
            .filter(|name| matches!(terminal::inline(name), std::borrow::Cow::Borrowed(_)))
            .map(|name| Candidate { insert: name.clone(), then: Some(' '), ..Candidate::default() });
        Completion { span: 0..cursor, candidates: candidates.collect(), pending: known.is_none() }
    }

    fn hint(&self, _: &str) -> Option<String> {
        None
    }

    fn is_incomplete(&self, text: &str) -> bool {
        super::is_incomplete(text)
    }
}
