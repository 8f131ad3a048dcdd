//! The screen, input devices, and remote displays.

use qmp_types::QmpError;
use qmp_types::qmp::commands::{
    AddClient, ChangeVncPassword, DisplayReload, DisplayUpdate, ExpirePassword, InputSendEvent,
    QueryDisplayOptions, QueryMice, QuerySpice, QueryVnc, QueryVncServers, Screendump, SendKey,
    SetPassword,
};
use serde_json::{Value, json};

use super::descriptor_set::is_socket;
use super::machine::Machine;
use super::replies::{Arguments, Handle, Reply, done, not_found, refuse};
use super::unavailable::no_spice;
use crate::router::Router;

/// The size in pixels of a screen in text mode.
const SCREEN: (usize, usize) = (720, 400);

pub(super) fn add(router: Router<Machine>) -> Router<Machine> {
    router
        .on::<Screendump>(|machine, arguments, _| machine.screendump(arguments))
        .on::<SendKey>(|_, _, _| done())
        .on::<InputSendEvent>(|machine, arguments, _| machine.send_input(arguments))
        .on::<QueryMice>(|machine, _, _| Ok(machine.query_mice()))
        .on::<QueryDisplayOptions>(|_, _, _| Ok(json!({"type": "none"})))
        .on::<QueryVnc>(|_, _, _| Ok(json!({"enabled": false})))
        .on::<QueryVncServers>(|_, _, _| Ok(json!([])))
        .on::<QuerySpice>(|_, _, _| {
            Ok(json!({"enabled": false, "migrated": false, "mouse-mode": "client"}))
        })
        .on::<ChangeVncPassword>(|_, _, _| no_vnc())
        .on::<SetPassword>(|_, arguments, _| match arguments.text("protocol") {
            Some("vnc") if arguments.text("connected").is_some_and(|action| action != "keep") => {
                refuse("parameter 'connected' must be 'keep' when 'protocol' is 'vnc'")
            }
            Some("vnc") => no_vnc(),
            _ => no_spice(),
        })
        .on::<ExpirePassword>(|_, arguments, _| match arguments.text("protocol") {
            Some("vnc") if !is_time(arguments.required("time")) => {
                let time = arguments.required("time");
                refuse(format!("Parameter 'time' doesn't take value '{time}'"))
            }
            Some("vnc") => refuse("Could not set password expire time"),
            _ => no_spice(),
        })
        .on::<AddClient>(|machine, arguments, _| {
            let descriptor = machine.descriptors.take(arguments.required("fdname"))?;
            match arguments.required("protocol") {
                _ if !is_socket(&descriptor) => refuse("parameter @fdname must name a socket"),
                // QEMU does not say that it has no VNC server.
                "vnc" => done(),
                protocol => refuse(format!("protocol '{protocol}' is invalid")),
            }
        })
        .on::<DisplayReload>(|_, _, _| done())
        .on::<DisplayUpdate>(|_, _, _| refuse("Can not find vnc display"))
}

/// Returns whether a text is a time at which a password expires.
fn is_time(text: &str) -> bool {
    let number = text.strip_prefix('+').unwrap_or(text);
    matches!(text, "now" | "never") || number.parse::<u64>().is_ok()
}

fn no_vnc() -> Reply {
    refuse("No VNC display is present")
}

impl Machine {
    /// Returns the device that has the screen, if any has.
    fn screen(&self) -> bool {
        self.has_vga
            || self.devices.iter().any(|device| {
                let name = device.model.name;
                name.contains("vga") || name.contains("VGA") || name.contains("gpu")
            })
    }

    /// Writes a picture of the screen. The guest shows nothing.
    pub(super) fn screendump(&mut self, arguments: &Arguments) -> Reply {
        let path = arguments.required("filename");
        if let Some(device) = arguments.text("device") {
            self.check_screen(device)?;
        } else if arguments.get("head").is_some() {
            return refuse("'head' must be specified together with 'device'");
        }
        if !self.screen() {
            return refuse(concat!("There is", " no console to take a screendump from"));
        }
        let picture = match arguments.text("format") {
            Some("png") => super::picture::png(SCREEN.0, SCREEN.1),
            _ => super::picture::ppm(SCREEN.0, SCREEN.1),
        };
        self.create_file(path, picture.len() as u64, &picture)?;
        done()
    }

    fn check_screen(&mut self, id: &str) -> Result<(), QmpError> {
        let device = self.device_with_id(id).ok_or_else(|| not_found(id))?;
        let name = device.model.name;
        match name.contains("vga") || name.contains("VGA") || name.contains("gpu") {
            true => Ok(()),
            false => refuse(format!("Device {id} (head 0) is not bound to a QemuConsole")),
        }
    }

    fn send_input(&self, arguments: &Arguments) -> Reply {
        if let Some(device) = arguments.text("device") {
            if self.devices.iter().all(|known| known.id.as_deref() != Some(device)) {
                return Err(not_found(device));
            }
        }
        for event in arguments.list("events") {
            let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
            if kind == "abs" && !self.has_tablet() {
                return refuse("Input handler not found for event type abs");
            }
        }
        done()
    }

    fn has_tablet(&self) -> bool {
        self.devices.iter().any(|device| device.model.name.contains("tablet"))
    }

    pub(super) fn query_mice(&self) -> Value {
        let tablets = self.devices.iter().filter(|device| device.model.name.contains("tablet"));
        let tablets = tablets.zip(3..).map(|(_, index)| {
            json!({"name": "QEMU HID Tablet", "index": index, "current": false, "absolute": true})
        });
        let mouse =
            json!({"name": "QEMU PS/2 Mouse", "index": 2, "current": true, "absolute": false});
        let mouse = (!self.is_none_machine()).then_some(mouse);
        tablets.chain(mouse).collect()
    }
}
