//! Loads a QAPI schema, and generates code if it is valid, which is Rust. The work per byte is limited,
//! and diagnostics have no characters that control a terminal.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use qmp_codegen::diagnostic::{Format, render_as};
use qmp_codegen::{Builder, LoadOptions, Root};

/// Far more than a byte takes with sanitizers, so that only work that does not grow with the text
/// exceeds it.
const PER_BYTE: Duration = Duration::from_micros(500);

/// The time that any text may take, however small.
const ANYWAY: Duration = Duration::from_secs(1);

fuzz_target!(|schema: &str| {
    let begun = Instant::now();
    let root = || Root::Text { name: "fuzz.json".to_owned(), text: schema.to_owned() };
    let options = LoadOptions::new().prose(true);
    let (sources, diagnostics) = match options.load([root()]) {
        Ok(loaded) => {
            if let Ok(tokens) = Builder::new().tokens(&loaded.schema) {
                syn::parse2::<syn::File>(tokens).expect("it is Rust");
            }
            (loaded.sources, loaded.warnings)
        }
        Err(error) => {
            assert!(!error.diagnostics.is_empty());
            // What a fork adds is tolerated, and nothing else.
            drop(options.allow_unknown(true).load([root()]));
            (error.sources, error.diagnostics)
        }
    };
    for format in [Format::Human, Format::Short, Format::Json, Format::Sarif] {
        let text = render_as(format, &sources, &diagnostics);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{text:?}");
    }
    let size = u32::try_from(schema.len()).unwrap_or(u32::MAX);
    assert!(begun.elapsed() < ANYWAY + PER_BYTE * size, "{:?}", begun.elapsed());
});
