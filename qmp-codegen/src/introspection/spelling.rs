//! How names of types are spelt.

/// Whether a type may be called this: CamelCase, and not an ending that is kept for arrays.
pub(super) fn is_type_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.ends_with("List")
}

/// A name on the wire, as a part of the name of a type: `blockdev-add` is `BlockdevAdd`,
/// `BLOCK_JOB_READY` is `BlockJobReady`, `eventsTx` is `EventsTx`.
pub(super) fn camel(wire: &str) -> String {
    let shouts = !wire.contains(|c: char| c.is_ascii_lowercase());
    let words = wire.split(|c: char| !c.is_ascii_alphanumeric());
    words.map(|word| capitalised(word, shouts)).collect()
}

/// The name of what a step leads to. Long names begin anew, so that the names of a long chain of
/// types take no more room than the chain.
pub(super) fn join(stem: &str, word: &str) -> String {
    const LONG: usize = 100;
    let word = word.get(..LONG / 2).unwrap_or(word);
    if stem.len() + word.len() > LONG { word.to_owned() } else { format!("{stem}{word}") }
}

/// The nearest name that a type may have.
pub(super) fn type_name(camel: &str) -> String {
    let mut name = camel.to_owned();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'T');
    }
    // Reserved endings, and names without a lower-case letter, are no longer so with this.
    if !is_type_name(&name) {
        name.push_str("Type");
    }
    name
}

fn capitalised(word: &str, shouts: bool) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let rest = letters.map(|c| if shouts { c.to_ascii_lowercase() } else { c });
    first.into_iter().chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_type_names() {
        for (wire, expected) in [
            ("blockdev-add", "BlockdevAdd"),
            ("qom_set", "QomSet"),
            ("BLOCK_JOB_READY", "BlockJobReady"),
            ("eventsTx", "EventsTx"),
            ("__com.example_do-it", "ComExampleDoIt"),
            ("2nd", "2nd"),
            ("PS2", "Ps2"),
        ] {
            assert_eq!(camel(wire), expected, "{wire}");
        }
    }

    #[test]
    fn names_do_not_grow_without_end() {
        assert_eq!(join("Blockdev", "Add"), "BlockdevAdd");
        let mut name = String::from("Start");
        for _ in 0..100 {
            name = join(&name, "Further");
            assert!(name.len() <= 100, "{name}");
        }
        assert_eq!(join("A", &"b".repeat(1000)).len(), 51);
    }

    #[test]
    fn names_that_a_type_cannot_have_are_mended() {
        for (camel, expected) in [
            ("PickList", "PickListType"),
            ("SomeKind", "SomeKind"),
            ("2nd", "T2nd"),
            ("X", "XType"),
            ("", "TType"),
            ("Fine", "Fine"),
        ] {
            let name = type_name(camel);
            assert_eq!(name, expected);
            assert!(is_type_name(&name), "{name}");
        }
    }
}
