//! Guesses at what was meant.

/// QEMU's longest name has 45 letters.
const MAX_LENGTH: usize = 100;

/// QEMU's schema has a thousand types. With many more, looking at all of them takes longer than a
/// guess is worth.
const MAX_CANDIDATES: usize = 2_000;

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
    let limit = (name.len() / 3).clamp(1, 3);
    let mut row = Vec::new();
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter_map(|candidate| Some((distance(name, candidate, limit, &mut row)?, candidate)))
        .filter(|(distance, candidate)| *distance < candidate.len())
        .min()
        .map(|(_, candidate)| format!("did you mean '{candidate}'?"))
}

/// How many letters have to be added, taken away or changed, upper and lower case being alike;
/// nothing if they are more than `limit`. `row` is room to work in.
fn distance(one: &str, other: &str, limit: usize, row: &mut Vec<usize>) -> Option<usize> {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len().abs_diff(other.len()) > limit {
        return None;
    }
    row.clear();
    row.extend(0..=other.len());
    for (index, c) in one.iter().enumerate() {
        // Only what is near the diagonal can be within the limit.
        let first = index.saturating_sub(limit);
        let last = (index + limit + 1).min(other.len());
        let mut diagonal = row[first];
        row[first] = if first == 0 { index + 1 } else { limit + 1 };
        let mut least = row[first];
        for (column, o) in other.iter().enumerate().take(last).skip(first) {
            let change = diagonal + usize::from(!c.eq_ignore_ascii_case(o));
            diagonal = row[column + 1];
            row[column + 1] = change.min(diagonal + 1).min(row[column] + 1);
            least = least.min(row[column + 1]);
        }
        if least > limit {
            return None;
        }
    }
    row.last().copied().filter(|distance| *distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("struct", "strcut", 2),
            ("A", "a", 0),
            ("abcdef", "bcdefg", 2),
            ("abcdef", "badcfe", 4),
            ("kitten", "sitting", 3),
        ] {
            for limit in 0..8 {
                let found = distance(one, other, limit, &mut Vec::new());
                assert_eq!(found, Some(expected).filter(|d| *d <= limit), "{one} {other} {limit}");
            }
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
