//! `surface.txt` lists every public item of the generated vocabularies, one per line, so that a change
//! of the schema is reviewed as its difference. `BLESS=1` rewrites it.

#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests

#[path = "../vocabularies.rs"]
mod vocabularies;

use std::fmt::Write;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/surface.txt");

#[test]
fn the_surface_is_the_one_that_was_reviewed() {
    let current = surface();
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        std::fs::write(FILE, &current).unwrap();
    }
    let reviewed = std::fs::read_to_string(FILE).unwrap();
    let lines = |of: &str, other: &str, mark: char| {
        let other: std::collections::HashSet<&str> = other.lines().collect();
        let lines = of.lines().filter(|line| !other.contains(line));
        lines.fold(String::new(), |text, line| text + &format!("{mark} {line}\n"))
    };
    let (gone, new) = (lines(&reviewed, &current, '-'), lines(&current, &reviewed, '+'));
    assert!(
        reviewed == current,
        "surface.txt is not current; read the difference, then run with BLESS=1\n{gone}{new}"
    );
}

/// Lists the items of the vocabularies that `build.rs` generates.
fn surface() -> String {
    let mut text = String::new();
    for (module, builder) in vocabularies::all() {
        let items = builder.surface().unwrap_or_else(|error| panic!("{error}"));
        writeln!(text, "# {module}: kind, name on the wire, Rust path, since").unwrap();
        items.iter().for_each(|item| writeln!(text, "{item}").unwrap());
    }
    text
}
