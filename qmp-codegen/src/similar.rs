//! Guesses at what was meant.

/// QEMU's longest name has 45 letters.
const MAX_LENGTH: usize = 100;

/// QEMU's schema has a thousand types.
const MAX_CANDIDATES: usize = 10_000;

/// A suggestion, if one of the candidates is nearly the name.
pub(crate) fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    // It takes time that grows with the product of their lengths.
    if name.len() > MAX_LENGTH {
        return None;
    }
    // A third of the letters may be wrong; long names do not make wild guesses better.
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| format!("did you mean '{candidate}'?"))
}

/// How many letters have to be added, taken away or changed, upper and lower case being alike.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, c) in one.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, o) in other.iter().enumerate() {
            let change = diagonal + usize::from(c != *o);
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("struct", "strcut", 2), ("A", "a", 0)]
        {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["RunState", "StatusInfo", "str", "int"];
        assert_eq!(did_you_mean("RunStat", names).as_deref(), Some("did you mean 'RunState'?"));
        assert_eq!(did_you_mean("string", names), None);
        assert_eq!(did_you_mean("x", names), None);
    }
}
