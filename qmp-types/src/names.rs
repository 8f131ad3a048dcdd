//! Looks names up in the tables of generated types.

/// Returns the index of a name in a table.
///
/// Tables and names are short, so that comparing with every name costs less than a hash would,
/// provided that names are compared in chunks and not byte by byte.
pub(crate) fn position(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|known| is_same(known.as_bytes(), name.as_bytes()))
}

/// Returns whether the inside of a string is a name: whether it begins with that, and a quote follows.
#[inline(always)]
pub(crate) fn is_quoted(name: &str, inside: &[u8]) -> bool {
    // Most names are told apart by their length.
    inside.get(name.len()) == Some(&b'"')
        && inside.get(..name.len()).is_some_and(|inside| is_same(name.as_bytes(), inside))
}

/// Compares two names in chunks from both ends, which may overlap.
#[inline(always)]
fn is_same(known: &[u8], name: &[u8]) -> bool {
    if known.len() != name.len() {
        return false;
    }
    if let (Some(start), Some(end)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        return known.first_chunk() == Some(start)
            && known.last_chunk() == Some(end)
            && (name.len() <= 16 || known == name);
    }
    if let (Some(start), Some(end)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return known.first_chunk() == Some(start) && known.last_chunk() == Some(end);
    }
    known == name
}

/// Returns how many letters must be added, removed or changed to make one name of another, ignoring
/// case. Names that are longer than any real one are only said to differ.
#[cold]
#[inline]
pub(crate) fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 100;
    if one.len().max(other.len()) > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, c) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, o) in other.bytes().enumerate() {
            let change = diagonal + usize::from(!c.eq_ignore_ascii_case(&o));
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("A", "a", 0),
            ("strcut", "struct", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
        assert_eq!(distance("a", &"a".repeat(101)), usize::MAX);
    }

    #[test]
    fn names_of_any_length_are_told_apart() {
        let letters = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..=letters.len() {
            let name = &letters[..length];
            assert_eq!(position(&["?", name, "-"], name), Some(1));
            for wrong in 0..length {
                let other = format!("{}-{}", &name[..wrong], &name[wrong + 1..]);
                assert_eq!(position(&[&other, &letters[length..]], name), None, "{other}");
            }
        }
    }
}
