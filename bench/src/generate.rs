//! Generates Rust from this project's schema of QMP, as `qmp schema generate` does.

use qmp_codegen::Builder;

use crate::Anything;
use crate::entry::Task;
use crate::measure::Meter;

/// Returns the milliseconds from the schema's files to formatted code.
pub fn generate(task: &Task<'_>) -> Anything<f64> {
    let meter = Meter::start();
    for _ in 0..task.count {
        let builder = Builder::new().schema(qmp_schema::SPEC).schema(qmp_schema::EVENTS);
        let code = builder.constructors_for_all().generate_code()?.code;
        assert!(code.len() > 1_000_000);
    }
    Ok(meter.each(task.count) / 1e3)
}
