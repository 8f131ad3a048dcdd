//! Text into types. What JSON is, is what `serde_json` says; what a type reads, it reads again
//! from what it writes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_types::qmp::types::{BlockInfo, BlockdevOptions, ImageInfoSpecific, SchemaInfo};
use qmp_types::qmp::{AnyEvent, events};
use qmp_types::{ServerMessage, Vocabulary};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let ours = qmp_types::decode::<Value>(text);
    match serde_json::from_str::<Value>(text) {
        Ok(value) => assert!(ours.is_err_and(|error| error.reason().contains("deep")) || {
            qmp_types::decode::<Value>(text).is_ok_and(|ours| ours == value)
        }),
        Err(error) => assert!(ours.is_err() || error.to_string().contains("recursion")),
    }
    let _ = qmp_types::decode::<ServerMessage<'_>>(text);
    again::<Vec<SchemaInfo>>(text);
    again::<BlockdevOptions>(text);
    again::<Vec<BlockInfo>>(text);
    again::<ImageInfoSpecific>(text);
    again::<events::BlockJobCompleted>(text);
    if let Ok(data) = serde_json::from_str::<&RawValue>(text) {
        for name in AnyEvent::EVENTS {
            let _ = AnyEvent::decode(name, Some(data));
        }
    }
});

fn again<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) {
    let Ok(value) = qmp_types::decode::<T>(text) else { return };
    let written = serde_json::to_string(&value).expect("what was read can be written");
    // Not that it is the same: `serde_json` rounds the last digit of a fraction.
    let _ = qmp_types::decode::<T>(&written).expect("what was written can be read");
}
