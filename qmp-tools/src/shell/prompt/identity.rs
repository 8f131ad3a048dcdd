//! The identity of a machine, for its history.

use std::time::Duration;

use qmp_client::blocking::Client;
use qmp_client::qmp::commands::{QueryName, QueryUuid};

use crate::shell::session::Peer;

/// How long the machine may take to say who it is.
const DEADLINE: Duration = Duration::from_secs(5);

/// Returns what tells the machine from others: its UUID, else its name, else its address.
pub(super) fn identity(client: &Client, peer: Peer, address: &str) -> String {
    if peer == Peer::Agent {
        return format!("agent-{address}");
    }
    let uuid = client.call(QueryUuid::new()).within(DEADLINE).execute();
    if let Ok(uuid) = uuid.map(|uuid| uuid.uuid) {
        // Without a UUID of its own, a machine has this one.
        if uuid.contains(|digit| !matches!(digit, '0' | '-')) {
            return format!("uuid-{uuid}");
        }
    }
    match client.call(QueryName::new()).within(DEADLINE).execute().map(|info| info.name) {
        Ok(Some(name)) if !name.is_empty() => format!("name-{name}"),
        _ if address.is_empty() => String::from("without-address"),
        _ => format!("address-{address}"),
    }
}
