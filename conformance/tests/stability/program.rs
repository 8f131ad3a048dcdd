// A program that was written for the old release, as STABILITY.md asks: arguments by `new` and methods,
// and `_` where a later release may add something. Included next to the module `vm` of each release.

use qmp_types::Vocabulary;
use vm::commands::SetFan;
use vm::types::{Fan, FanKind, Speed};

/// Returns a command as JSON.
pub(crate) fn command() -> serde_json::Value {
    serde_json::to_value(SetFan::new("cpu").speed(Speed::Low)).unwrap()
}

/// Describes a reply.
pub(crate) fn describe(reply: &str) -> String {
    let fan: Fan = qmp_types::decode(reply).unwrap();
    let kind = match &fan.kind {
        FanKind::Axial(axial) => format!("{} blades", axial.blades),
        _ => "of a newer kind".into(),
    };
    let speed = match &fan.speed {
        Speed::Off => "off",
        Speed::Low => "slow",
        _ => "at a newer speed",
    };
    format!("{kind}, {speed}")
}

/// Describes an event.
pub(crate) fn event(name: &str, data: &str) -> String {
    let data = serde_json::value::RawValue::from_string(data.into()).unwrap();
    match vm::AnyEvent::decode(name, Some(&data)).unwrap() {
        vm::AnyEvent::FanStopped(event) => format!("{} has stopped", event.id),
        _ => "something else".into(),
    }
}
