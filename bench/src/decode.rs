//! Decodes the reply to `query-qmp-schema` from text to types.

use std::time::Instant;

use qmp_client::qmp::types::SchemaInfo;
use serde_json::value::RawValue;

use crate::Anything;

/// Returns the rate in megabytes per second.
pub fn run(name: &str, count: usize) -> Anything<f64> {
    // A whole schema. QEMU's reply has one more level, which costs all of these the same.
    let text = qmp_client::qmp::INTROSPECTION;
    let decoded: Vec<SchemaInfo> = qmp_types::decode(text)?;
    let begin = Instant::now();
    for _ in 0..count {
        let entries = match name {
            "raw" => serde_json::from_str::<Vec<&RawValue>>(text)?.len(),
            "value" => serde_json::from_str::<Vec<serde_json::Value>>(text)?.len(),
            // The same strings and lists are allocated and freed, and nothing is parsed.
            "floor" => decoded.clone().len(),
            "qapi" => serde_json::from_str::<Vec<qapi::qmp::SchemaInfo>>(text)?.len(),
            _ => qmp_types::decode::<Vec<SchemaInfo>>(text)?.len(),
        };
        assert!(entries > 500);
    }
    Ok((text.len() * count) as f64 / begin.elapsed().as_secs_f64() / 1e6)
}
