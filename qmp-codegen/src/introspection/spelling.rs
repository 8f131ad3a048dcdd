//! The spelling of type names.

/// Whether a type can have a name: in CamelCase, and without the ending reserved for arrays.
pub(super) fn is_type_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && name.contains(|c: char| c.is_ascii_lowercase())
        && !name.ends_with("List")
}

/// Converts a name on the wire to a part of a type name: `blockdev-add` to `BlockdevAdd`,
/// `BLOCK_JOB_READY` to `BlockJobReady`, and `eventsTx` to `EventsTx`.
pub(super) fn camel(wire: &str) -> String {
    let all_caps = !wire.contains(|c: char| c.is_ascii_lowercase());
    let words = wire.split(|c: char| !c.is_ascii_alphanumeric());
    words.map(|word| capitalized(word, all_caps)).collect()
}

/// Appends a word to a name. If the result would be too long, returns only the word, so that the
/// total size of names is linear in the length of a chain of types.
pub(super) fn join(stem: &str, word: &str) -> String {
    const LONG: usize = 100;
    let word = word.get(..LONG / 2).unwrap_or(word);
    if stem.len() + word.len() > LONG { word.to_owned() } else { format!("{stem}{word}") }
}

/// Returns the closest valid name of a type.
pub(super) fn type_name(camel: &str) -> String {
    let mut name = camel.to_owned();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name.insert(0, 'T');
    }
    // Fixes both a reserved ending and the lack of a lowercase letter.
    if !is_type_name(&name) {
        name.push_str("Type");
    }
    name
}

fn capitalized(word: &str, all_caps: bool) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|c| c.to_ascii_uppercase());
    let rest = letters.map(|c| if all_caps { c.to_ascii_lowercase() } else { c });
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
    fn length_of_names_is_limited() {
        assert_eq!(join("Blockdev", "Add"), "BlockdevAdd");
        let mut name = String::from("Start");
        for _ in 0..100 {
            name = join(&name, "Further");
            assert!(name.len() <= 100, "{name}");
        }
        assert_eq!(join("A", &"b".repeat(1000)).len(), 51);
    }

    #[test]
    fn invalid_type_names_are_fixed() {
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
