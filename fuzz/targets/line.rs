//! Parses and completes a text as the shell does. What an error points at is in the text, and what is
//! printed of it cannot control a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qmp_tools::shell::complete::{Candidate, Kind, Live, complete};
use qmp_tools::shell::parse;
use qmp_tools::shell::types::Builtin;
use qmp_tools::terminal;

/// A machine whose names are hostile.
struct Hostile;

impl Live for Hostile {
    fn candidates(&self, _: Kind<'_>) -> Vec<Candidate> {
        ["a", "a b=c", "\"", "\u{1b}[2J", "\u{202e}"].map(|name| Candidate::new(name, name)).to_vec()
    }
}

fuzz_target!(|text: &str| {
    if let Err(error) = parse(text, &Builtin) {
        let span = error.span();
        assert!(span.start <= span.end && text.get(span).is_some(), "{error:?}");
        assert!(error.line(text) <= 1 + text.matches('\n').count());
        let shown = format!("{error}\n{}", error.pointer(text).unwrap_or_default());
        let printed = terminal::lines(&shown);
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{printed:?}");
    }
    // Every cursor that an editor can be at, as far as that takes no time.
    for (cursor, _) in text.char_indices().take(64) {
        let completion = complete(text, cursor, &Builtin, &Hostile);
        assert!(text.get(completion.span).is_some(), "at {cursor}");
        for candidate in completion.candidates {
            let shown = candidate.insert + &candidate.description;
            assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        }
    }
});
