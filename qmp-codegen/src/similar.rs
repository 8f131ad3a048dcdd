//! Suggests names for misspelled ones.

/// QEMU's longest name has 45 letters.
const MAX_LENGTH: usize = 100;

/// QEMU's schema has a thousand types. With many more, looking at all of them takes longer than a
/// suggestion is worth.
const MAX_CANDIDATES: usize = 2_000;

/// Suggests the candidate that is most similar to a name, if one is similar at all.
pub(crate) fn did_you_mean<'c>(
    name: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    most_similar(name, &mut candidates.into_iter()).map(question)
}

fn most_similar<'c>(name: &str, candidates: &mut dyn Iterator<Item = &'c str>) -> Option<&'c str> {
    // The time that this takes grows with the product of the lengths.
    if name.len() > MAX_LENGTH {
        return None;
    }
    // A third of the letters may be wrong; a long name does not justify wild suggestions.
    let limit = (name.len() / 3).clamp(1, 3);
    let mut row = Vec::new();
    let mut best = None;
    for candidate in candidates.take(MAX_CANDIDATES) {
        let Some(distance) = distance(name, candidate, limit, &mut row) else { continue };
        let is_better = best.is_none_or(|best| (distance, candidate) < best);
        if is_better && distance < candidate.len() && candidate != name {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, similar)| similar)
}

/// Suggests a name that has been derived from the one that was written, if it differs and the rule
/// that rejects the written one accepts it.
pub(crate) fn suggest(
    written: &str,
    proposed: &str,
    is_accepted: impl FnOnce(&str) -> bool,
) -> Option<String> {
    (proposed != written && is_accepted(proposed)).then(|| question(proposed))
}

fn question(name: &str) -> String {
    format!("did you mean '{name}'?")
}

/// Returns how many letters must be added, removed or changed, ignoring case, or `None` if that is
/// more than `limit`. `row` is working memory.
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

    #[test]
    fn a_suggestion_differs_from_what_was_written() {
        assert_eq!(did_you_mean("abc", ["abc"]), None);
        assert_eq!(did_you_mean("abc", ["abc", "abd"]).as_deref(), Some("did you mean 'abd'?"));
        assert_eq!(suggest("U", "U", |_| true), None);
        assert_eq!(suggest("a_b", "AB", |name| name != "AB"), None);
        assert_eq!(suggest("a_bc", "ABc", |_| true).as_deref(), Some("did you mean 'ABc'?"));
    }
}
