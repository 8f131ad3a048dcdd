//! Suggests names for misspelled ones.

/// QEMU's longest name has 45 letters.
const MAX_LENGTH: usize = 100;

/// Returns the known name that is most similar to a misspelled one, if one is similar at all.
pub fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    if name.is_empty() || name.len() > MAX_LENGTH {
        return None;
    }
    let name = folded(name);
    // A third of the letters may be wrong; a long name does not justify wild suggestions.
    let limit = (name.len() / 3).clamp(1, 3);
    known
        .filter(|known| known.len() <= MAX_LENGTH)
        .filter_map(|known| {
            let distance = distance(&name, &folded(known));
            (distance <= limit && distance < known.len()).then_some((distance, known))
        })
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Returns a name without the differences between spellings: case, `-` and `_`.
fn folded(name: &str) -> Vec<u8> {
    name.bytes().map(|byte| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect()
}

/// Returns how many letters must be added, removed, changed or swapped with the next.
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, c) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, o) in other.iter().enumerate() {
            let mut least = (row[j] + usize::from(c != o)).min(row[j + 1] + 1).min(next[j] + 1);
            let swapped = i > 0 && j > 0 && one[i - 1] == *o && other[j - 1] == *c;
            if swapped {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let known = ["device_add", "device_del", "query-status", "STOP", "file"];
        for (name, expected) in [
            ("device-add", Some("device_add")),
            ("devcie_add", Some("device_add")),
            ("query-staus", Some("query-status")),
            ("stop", Some("STOP")),
            ("fiel", Some("file")),
            ("blockdev-add", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(name, known.into_iter()).as_deref(), expected, "{name}");
        }
    }
}
