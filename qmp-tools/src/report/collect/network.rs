//! Network cards. No query lists them all: those with filters are in `query-rx-filter`, those in the
//! usual containers are objects with a MAC address and a back end, and the human monitor lists the
//! cards of any board, with their back ends.

use std::collections::HashMap;

use qmp_client::Error;
use qmp_client::qmp::commands::{HumanMonitorCommand, QomGet, QomList, QueryRxFilter};
use qmp_client::qmp::types::{ObjectPropertyInfo, RxFilterInfo};
use serde_json::Value;

use super::super::model::Nic;
use super::names;
use super::query::{Queries, Query};

/// The containers of devices: with an ID, without one, and those of the board.
const CONTAINERS: [&str; 3] =
    ["/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"];

/// The most types, and the most cards, that are looked at.
const MOST: usize = 256;

/// The most network clients that are read.
const MOST_CLIENTS: usize = 4096;

/// The queries for this part.
pub(super) struct Asked {
    filters: Query<Vec<RxFilterInfo>>,
    human: Query<String>,
    containers: [Query<Vec<ObjectPropertyInfo>>; 3],
}

/// The first replies, from which others follow.
pub(super) struct Begun {
    filters: Vec<RxFilterInfo>,
    human: String,
    devices: Vec<Device>,
}

/// An object in a container.
struct Device {
    path: String,
    id: Option<String>,
    model: String,
}

pub(super) fn ask(queries: &Queries<'_>) -> Result<Asked, Error> {
    let list = |container| queries.attempt(QomList::new(container), container);
    let [peripheral, anonymous, unattached] = CONTAINERS;
    Ok(Asked {
        filters: queries.ask(QueryRxFilter::new())?,
        human: queries.ask_as(HumanMonitorCommand::new("info network"), "info network")?,
        containers: [list(peripheral)?, list(anonymous)?, list(unattached)?],
    })
}

impl Asked {
    pub(super) fn answer(self, queries: &mut Queries<'_>) -> Result<Begun, Error> {
        let filters = queries.answer(self.filters)?.unwrap_or_default();
        let human = queries.answer(self.human)?.unwrap_or_default();
        let mut devices = Vec::new();
        for (container, query) in CONTAINERS.into_iter().zip(self.containers) {
            let properties = queries.answer(query)?.unwrap_or_default();
            devices.extend(properties.iter().filter_map(|property| device(container, property)));
        }
        Ok(Begun { filters, human, devices })
    }
}

impl Begun {
    /// Asks the devices, and puts everything together.
    pub(super) fn complete(self, queries: &mut Queries<'_>) -> Result<Vec<Nic>, Error> {
        let cards = cards(queries, &self.devices)?;
        Ok(merge(cards, &self.filters, &self.human))
    }
}

/// Finds the cards among the devices: those that have a MAC address and a back end.
fn cards(queries: &mut Queries<'_>, devices: &[Device]) -> Result<Vec<Nic>, Error> {
    if !queries.goes_on() {
        return Ok(Vec::new());
    }
    let mut types: HashMap<&str, bool> = HashMap::new();
    let mut asked = Vec::new();
    for device in devices {
        if types.len() < MOST && types.insert(&device.model, false).is_none() {
            asked.push((
                &device.model,
                queries.attempt(QomList::new(device.path.clone()), &device.path)?,
            ));
        }
    }
    for (model, query) in asked {
        let properties = queries.answer(query)?.unwrap_or_default();
        let has = |name| properties.iter().any(|property| property.name == name);
        types.insert(model, has("mac") && has("netdev"));
    }
    let mut cards = Vec::new();
    for device in devices.iter().filter(|device| types.get(&*device.model) == Some(&true)) {
        if cards.len() < MOST {
            let get = |property: &str| {
                queries.attempt(QomGet::new(device.path.clone(), property), &device.path)
            };
            cards.push((device, get("mac")?, get("netdev")?));
        }
    }
    cards.into_iter().map(|(device, mac, netdev)| card(queries, device, mac, netdev)).collect()
}

fn device(container: &str, property: &ObjectPropertyInfo) -> Option<Device> {
    let model = names::child_type(&property.type_)?;
    // Boards have hundreds of these, none of them a device.
    if matches!(model, "memory-region" | "qemu:memory-region" | "irq" | "container") {
        return None;
    }
    let path = format!("{container}/{}", property.name);
    let id = names::id_of_path(&path).map(str::to_owned);
    Some(Device { path, id, model: model.to_owned() })
}

fn card(
    queries: &mut Queries<'_>,
    device: &Device,
    mac: Query<Value>,
    netdev: Query<Value>,
) -> Result<Nic, Error> {
    let text = |value: Option<Value>| {
        value.and_then(|value| value.as_str().map(str::to_owned)).filter(|text| !text.is_empty())
    };
    let mac = text(queries.answer(mac)?);
    let backend = text(queries.answer(netdev)?);
    Ok(Nic {
        name: device.id.clone().unwrap_or_default(),
        model: Some(device.model.clone()),
        mac,
        backend,
        path: Some(device.path.clone()),
        ..unknown()
    })
}

/// Returns all cards, with what each source knows about them.
fn merge(mut cards: Vec<Nic>, filters: &[RxFilterInfo], human: &str) -> Vec<Nic> {
    let clients = clients(human);
    for client in clients.iter().filter(|client| client.kind == "nic") {
        let card = find_or_add(&mut cards, client.name, client.detail("macaddr"));
        if card.name.is_empty() {
            client.name.clone_into(&mut card.name);
        }
        let set = |member: &mut Option<String>, value: Option<&str>| {
            if let Some(value) = value {
                *member = Some(value.to_owned());
            }
        };
        if card.model.is_none() {
            set(&mut card.model, client.detail("model"));
        }
        // The guest may have changed the address.
        set(&mut card.mac, client.detail("macaddr"));
        if let Some(peer) = client.peer.and_then(|peer| clients.get(peer)) {
            set(&mut card.backend, Some(peer.name));
        }
    }
    for filter in filters.iter().take(MOST_CLIENTS) {
        let card = find_or_add(&mut cards, &filter.name, Some(&filter.main_mac));
        if card.name.is_empty() {
            card.name.clone_from(&filter.name);
        }
        card.mac = Some(filter.main_mac.clone());
        card.promiscuous = Some(filter.promiscuous);
    }
    for card in &mut cards {
        let backend = clients.iter().find(|client| card.backend.as_deref() == Some(client.name));
        if let Some(client) = backend {
            card.backend_type = Some(client.kind.to_owned());
            card.backend_details = Some(client.details.to_owned()).filter(|text| !text.is_empty());
        }
        if card.name.is_empty() {
            card.name = card.path.clone().unwrap_or_default();
        }
    }
    // The order in which the cards were created, as far as it is known.
    let place = |card: &Nic| clients.iter().position(|client| client.name == card.name);
    cards.sort_by_key(|card| place(card).unwrap_or(usize::MAX));
    cards
}

/// Finds a card by its name, or one without a name by its address, or else adds one.
fn find_or_add<'a>(cards: &'a mut Vec<Nic>, name: &str, mac: Option<&str>) -> &'a mut Nic {
    let by_name = cards.iter().position(|card| card.name == name);
    let same = |card: &Nic| {
        card.name.is_empty() && mac.is_some_and(|mac| card.mac.as_deref() == Some(mac))
    };
    let at = by_name.or_else(|| cards.iter().position(same)).unwrap_or_else(|| {
        cards.push(unknown());
        cards.len() - 1
    });
    &mut cards[at]
}

fn unknown() -> Nic {
    Nic {
        name: String::new(),
        model: None,
        mac: None,
        backend: None,
        backend_type: None,
        backend_details: None,
        promiscuous: None,
        path: None,
    }
}

/// A line of `info network`: a card, or a back end.
struct NetworkClient<'a> {
    name: &'a str,
    kind: &'a str,
    details: &'a str,
    /// The number of the line of its peer.
    peer: Option<usize>,
}

impl NetworkClient<'_> {
    fn detail(&self, name: &str) -> Option<&str> {
        self.details.split(',').find_map(|detail| detail.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Reads the human monitor's list. The peer of a client is on the next line, after ` \ `.
fn clients(human: &str) -> Vec<NetworkClient<'_>> {
    let mut clients: Vec<NetworkClient<'_>> = Vec::new();
    for line in human.lines().take(MOST_CLIENTS) {
        let (line, is_peer) = match line.strip_prefix(" \\ ") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let Some((name, rest)) = line.trim_end().split_once(": index=") else { continue };
        let Some((_, rest)) = rest.split_once(",type=") else { continue };
        let (kind, details) = rest.split_once(',').unwrap_or((rest, ""));
        let number = clients.len();
        if let Some(card) = clients.last_mut().filter(|_| is_peer) {
            card.peer = Some(number);
        }
        clients.push(NetworkClient { name, kind, details, peer: None });
    }
    clients
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card without filters was missing, and so was the type of each back end.
    #[test]
    fn the_human_monitor_knows_every_card() {
        let human = "nic0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\r\n \
            \\ u0: index=0,type=user,net=10.0.2.0,restrict=off\r\n\
            e1000e.0: index=0,type=nic,model=e1000e,macaddr=52:54:00:12:34:59\r\n";
        let anonymous = Nic {
            mac: Some("52:54:00:12:34:59".to_owned()),
            path: Some("/machine/peripheral-anon/device[0]".to_owned()),
            ..unknown()
        };
        let cards = merge(vec![anonymous], &[], human);
        let names: Vec<_> = cards.iter().map(|card| card.name.as_str()).collect();
        assert_eq!(names, ["nic0", "e1000e.0"]);
        assert_eq!(cards[0].backend.as_deref(), Some("u0"));
        assert_eq!(cards[0].backend_type.as_deref(), Some("user"));
        assert_eq!(cards[0].backend_details.as_deref(), Some("net=10.0.2.0,restrict=off"));
        assert_eq!(cards[1].path.as_deref(), Some("/machine/peripheral-anon/device[0]"));
        assert!(
            merge(Vec::new(), &[], "unknown command: 'info network'\r\n\\ : index=").is_empty()
        );
    }
}
