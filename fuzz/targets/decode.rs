//! Decodes text as types of the vocabulary. The decoder must accept the same JSON as `serde_json`,
//! and every type must be able to decode its own encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_types::qmp::types::{BlockInfo, BlockdevOptions, ImageInfoSpecific, SchemaInfo};
use qmp_types::qmp::{AnyEvent, events};
use qmp_types::{ServerMessage, Vocabulary};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let decoded = qmp_types::decode::<Value>(text);
    match serde_json::from_str::<Value>(text) {
        Ok(value) => assert!(
            decoded.is_err_and(|error| error.reason().contains("deep")) || {
                qmp_types::decode::<Value>(text).is_ok_and(|decoded| decoded == value)
            }
        ),
        Err(error) => assert!(decoded.is_err() || error.to_string().contains("recursion")),
    }
    let _ = qmp_types::decode::<ServerMessage<'_>>(text);
    round_trip::<Vec<SchemaInfo>>(text);
    round_trip::<BlockdevOptions>(text);
    round_trip::<Vec<BlockInfo>>(text);
    round_trip::<ImageInfoSpecific>(text);
    round_trip::<events::BlockJobCompleted>(text);
    if let Ok(data) = serde_json::from_str::<&RawValue>(text) {
        for name in AnyEvent::EVENTS {
            let _ = AnyEvent::decode(name, Some(data));
        }
    }
});

fn round_trip<T: serde::de::DeserializeOwned + serde::Serialize>(text: &str) {
    let Ok(value) = qmp_types::decode::<T>(text) else { return };
    let encoded = serde_json::to_string(&value).expect("encoding a decoded value succeeds");
    let _ = qmp_types::decode::<T>(&encoded).expect("decoding an encoded value succeeds");
}
