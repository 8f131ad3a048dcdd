//! Decodes the reply to `query-qmp-schema` from text to types.

use qmp_client::qmp::types::SchemaInfo;
use serde_json::value::RawValue;

use crate::Anything;
use crate::floors::schema;
use crate::entry::Task;
use crate::measure::Meter;

/// A whole schema. QEMU's reply has one more level, which costs all of these the same.
const TEXT: &str = qmp_client::qmp::INTROSPECTION;

/// Returns the rate in megabytes per second. `decode` returns how many entries it found.
pub fn measure(task: &Task<'_>, decode: impl Fn(&str) -> Anything<usize>) -> Anything<f64> {
    let meter = Meter::start();
    for _ in 0..task.count {
        assert!(decode(TEXT)? > 500);
    }
    // Bytes per microsecond.
    Ok(TEXT.len() as f64 / meter.each(task.count))
}

/// Finds the end of each entry.
pub fn scan(task: &Task<'_>) -> Anything<f64> {
    measure(task, |text| Ok(serde_json::from_str::<Vec<&RawValue>>(text)?.len()))
}

/// Copies and drops the decoded value: its allocations, without any decoding.
pub fn clone(task: &Task<'_>) -> Anything<f64> {
    let entries = qmp_types::decode::<Vec<SchemaInfo>>(TEXT)?;
    measure(task, |_| Ok(std::hint::black_box(entries.clone()).len()))
}

/// Decodes it with a program that was written for these types only.
pub fn by_hand(task: &Task<'_>) -> Anything<f64> {
    fn decode(text: &str) -> Anything<Vec<SchemaInfo>> {
        Ok(schema::decode(text).ok_or("the schema cannot be read by hand")?)
    }
    assert_eq!(decode(TEXT)?, qmp_types::decode::<Vec<SchemaInfo>>(TEXT)?);
    measure(task, |text| Ok(decode(text)?.len()))
}

pub fn ours(task: &Task<'_>) -> Anything<f64> {
    measure(task, |text| Ok(qmp_types::decode::<Vec<SchemaInfo>>(text)?.len()))
}
