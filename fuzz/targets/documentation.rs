//! Puts any text into the documentation of a schema, and looks at the generated comments as rustdoc
//! does: nothing in them is run or HTML. The work per byte is limited.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use qmp_codegen::Builder;

#[path = "../../qmp-codegen/tests/support/markdown.rs"]
mod markdown;

/// Far more than a byte takes with sanitizers, so that only work that does not grow with the text
/// exceeds it.
const PER_BYTE: Duration = Duration::from_micros(500);

/// The time that any text may take, however small.
const ANYWAY: Duration = Duration::from_secs(1);

fuzz_target!(|text: &str| {
    let lines: String = text.lines().map(|line| format!("# {line}\n")).collect();
    let line = text.replace(['\n', '\r'], " ");
    let schema = format!(
        "##\n{lines}##\n\n##\n# @shelve:\n#\n{lines}#\n# @a: {line}\n#\n# Features:\n#\n\
         # @deprecated: {line}\n# @f: {line}\n#\n# Since: {line}\n##\n\
         {{ 'command': 'shelve', 'data': {{ 'a': 'int' }}, 'features': [ 'deprecated', 'f' ] }}\n"
    );
    let begun = Instant::now();
    let size = u32::try_from(schema.len()).unwrap_or(u32::MAX);
    let generated = Builder::new().schema_text("fuzz.json", schema).generate_code();
    assert!(begun.elapsed() < ANYWAY + PER_BYTE * size, "{:?}", begun.elapsed());
    // What documentation cannot contain is an error.
    if let Ok(generated) = generated {
        markdown::comments_of(&generated.code)
            .iter()
            .for_each(|one| markdown::assert_harmless(one));
    }
});
