//! NICs and their back ends.

use qmp_types::qmp::commands::{NetdevAdd, NetdevDel, QueryRxFilter, SetLink};
use qmp_types::{Empty, QmpError};
use serde_json::{Value, json};

use super::machine::{Device, Machine, Netdev};
use super::replies::{not_found, typed};
use crate::context::Context;
use crate::router::Router;

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .command(|machine: &mut Machine, command: SetLink, _: &mut Context| {
            machine.set_link(&command)
        })
        .command(|machine: &mut Machine, command: NetdevAdd, _: &mut Context| {
            machine.add_netdev(&command)
        })
        .command(|machine: &mut Machine, command: NetdevDel, _: &mut Context| {
            machine.delete_netdev(&command.id)
        })
        .command(|machine: &mut Machine, command: QueryRxFilter, _: &mut Context| {
            typed(machine.rx_filters(command.name.as_deref())?)
        })
}

impl Machine {
    fn set_link(&mut self, command: &SetLink) -> Result<Empty, QmpError> {
        let name = &command.name;
        if let Some(netdev) = self.netdevs.iter_mut().find(|netdev| netdev.id == *name) {
            netdev.link_up = command.up;
            return Ok(Empty {});
        }
        let nic = self.device(name).filter(|device| device.is_nic());
        nic.ok_or_else(|| not_found(name))?.link_up = command.up;
        Ok(Empty {})
    }

    fn add_netdev(&mut self, command: &NetdevAdd) -> Result<Empty, QmpError> {
        let id = &command.data.id;
        if self.netdevs.iter().any(|netdev| netdev.id == *id) {
            return Err(QmpError::generic(format!("Duplicate ID '{id}'")));
        }
        self.netdevs.push(Netdev { id: id.clone(), link_up: true });
        Ok(Empty {})
    }

    fn delete_netdev(&mut self, id: &str) -> Result<Empty, QmpError> {
        let at = self.netdevs.iter().position(|netdev| netdev.id == id);
        self.netdevs.remove(at.ok_or_else(|| not_found(id))?);
        Ok(Empty {})
    }

    fn rx_filters(&self, name: Option<&str>) -> Result<Value, QmpError> {
        let nics = self.devices.iter().filter(|device| device.is_nic());
        let wanted = nics.filter(|device| name.is_none_or(|name| device.name() == name));
        let filters: Vec<Value> = wanted.map(rx_filter).collect();
        match name.filter(|_| filters.is_empty()) {
            Some(name) => Err(QmpError::generic(format!("invalid net client name: {name}"))),
            None => Ok(filters.into()),
        }
    }
}

impl Device {
    fn is_nic(&self) -> bool {
        matches!(self.driver.as_str(), "virtio-net-pci" | "e1000")
    }
}

fn rx_filter(device: &Device) -> Value {
    json!({
        "name": device.name(),
        "promiscuous": false,
        "multicast": "normal",
        "unicast": "normal",
        "vlan": "none",
        "broadcast-allowed": true,
        "multicast-overflow": false,
        "unicast-overflow": false,
        "main-mac": device.string("mac").unwrap_or("52:54:00:12:34:57"),
        "vlan-table": [],
        "unicast-table": [],
        "multicast-table": ["01:00:5e:00:00:01"],
    })
}
