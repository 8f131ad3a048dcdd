//! Arrays of objects as tables, and objects as lists of members.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use unicode_width::UnicodeWidthStr;

use super::layout;
use crate::terminal;

/// A member of an object, in the order of the text.
pub(super) type Member = (String, Box<RawValue>);

/// Formats an array of objects with a column for each member, or an object with a row for each. If
/// the columns would be wider than `most`, each object has rows of its own, after an empty line.
/// Returns `None` for everything else. The text has no line feed at its end.
pub(super) fn table(value: &RawValue, most: Option<usize>) -> Option<String> {
    if let Some(members) = members(value) {
        return (!members.is_empty()).then(|| list(&members));
    }
    let elements: Vec<Box<RawValue>> = serde_json::from_str(value.get()).ok()?;
    let objects = elements.iter().map(|element| members(element)).collect::<Option<Vec<_>>>()?;
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in objects.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return None;
    }
    let of = |object: &[Member], wanted: &str| {
        object.iter().find(|(name, _)| name == wanted).map(|(_, value)| cell(value))
    };
    let mut rows = vec![names.iter().map(|name| inline(name)).collect::<Vec<_>>()];
    rows.extend(objects.iter().map(|object| {
        names.iter().map(|name| of(object, name).unwrap_or_default()).collect::<Vec<_>>()
    }));
    let is_number = |text: &String| text.is_empty() || text.parse::<f64>().is_ok();
    let numeric = (0..names.len())
        .map(|column| rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number))
        .collect::<Vec<_>>();
    let columns = aligned(&rows, &numeric);
    match most {
        Some(most) if columns.lines().any(|line| line.width() > most) => {
            Some(objects.iter().map(|object| list(object)).collect::<Vec<_>>().join("\n\n"))
        }
        _ => Some(columns),
    }
}

/// Formats an object with a row for each member.
fn list(members: &[Member]) -> String {
    let rows = members.iter().map(|(name, value)| vec![inline(name), cell(value)]);
    aligned(&rows.collect::<Vec<_>>(), &[false; 2])
}

/// Returns the members of an object; `None` if the value is not an object.
pub(super) fn members(value: &RawValue) -> Option<Vec<Member>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<Member>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Member>, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    serde_json::Deserializer::from_str(value.get()).deserialize_map(Members).ok()
}

/// Returns a value as it is shown outside of JSON: a string without its quotes, but not unescaped if
/// it has characters that control a terminal.
pub(super) fn bare(value: &RawValue) -> String {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) if terminal::inline(&text) == text => text,
        _ => layout::compact(value),
    }
}

fn cell(value: &RawValue) -> String {
    terminal::json(&bare(value)).into_owned()
}

fn inline(text: &str) -> String {
    terminal::inline(text).into_owned()
}

/// Aligns the cells of each column: numbers to the right, everything else to the left.
fn aligned(rows: &[Vec<String>], numeric: &[bool]) -> String {
    let widths = (0..numeric.len()).map(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
    });
    let widths = widths.collect::<Vec<_>>();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for ((cell, width), is_numeric) in row.iter().zip(&widths).zip(numeric) {
            if !line.is_empty() {
                line += "  ";
            }
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            line += &if *is_numeric { padding + cell } else { format!("{cell}{padding}") };
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        table(&RawValue::from_string(text.to_owned()).unwrap(), None)
    }

    #[test]
    fn columns_are_aligned_by_width() {
        let text = r#"[{"node": "n0", "size": 5, "driver": "漢字"},
            {"node": "a\u001b", "size": 1024, "options": {"x": [1, 2]}},
            {"driver": "e\u0301", "size": 77}]"#;
        let lines = [
            "node       size  driver  options",
            "n0            5  漢字",
            "\"a\\u001b\"  1024          {\"x\": [1, 2]}",
            "             77  e\u{301}",
        ];
        assert_eq!(shown(text).unwrap(), lines.join("\n"));
    }

    #[test]
    fn objects_are_below_each_other_if_columns_are_too_wide() {
        let text = r#"[{"id": "j0", "漢": 5}, {"id": "j1", "x": "y"}]"#;
        let value = RawValue::from_string(text.to_owned()).unwrap();
        let columns = "id  漢  x\nj0   5\nj1      y";
        assert_eq!(table(&value, Some(9)).unwrap(), columns);
        assert_eq!(table(&value, Some(8)).unwrap(), "id  j0\n漢  5\n\nid  j1\nx   y");
    }

    #[test]
    fn objects_are_lists_and_other_values_are_not_tables() {
        assert_eq!(
            shown(r#"{"running": true, "status": "running"}"#).unwrap(),
            "running  true\nstatus   running"
        );
        for text in ["{}", "[]", "[{}]", "[1]", "[{\"a\": 1}, 2]", "\"x\"", "7"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
