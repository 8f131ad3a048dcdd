//! Functions on values of any depth. None of them recurses: a client chooses the depth, and the stack
//! of the thread may be small.

use serde_json::{Map, Value, map};

use super::writer::to_json;

/// Drops values without recursion.
pub(crate) fn dismantle(values: impl IntoIterator<Item = Value>) {
    let mut pending: Vec<Value> = values.into_iter().filter(is_nested).collect();
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(elements) => pending.extend(elements.into_iter().filter(is_nested)),
            Value::Object(members) => {
                pending.extend(members.into_iter().map(|(_, value)| value).filter(is_nested));
            }
            _ => {}
        }
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

/// Returns the number of levels to which an object's members are nested, including the object.
pub(crate) fn depth(members: &Map<String, Value>) -> usize {
    let mut deepest = 1;
    let mut pending: Vec<(usize, &Value)> = members.values().map(|value| (2, value)).collect();
    while let Some((level, value)) = pending.pop() {
        match value {
            Value::Array(elements) => {
                pending.extend(elements.iter().map(|value| (level + 1, value)));
            }
            Value::Object(members) => {
                pending.extend(members.values().map(|value| (level + 1, value)));
            }
            _ => continue,
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// A container that has been written up to some element.
enum Open<'v> {
    Array(std::slice::Iter<'v, Value>),
    Object(map::Iter<'v>),
}

/// Returns a value as JSON text on one line.
pub(crate) fn value_to_json(value: &Value) -> String {
    let mut text = String::new();
    let mut open = Vec::new();
    begin(value, &mut text, &mut open);
    while let Some(container) = open.last_mut() {
        let is_first = text.ends_with(['[', '{']);
        let next = match container {
            Open::Array(elements) => elements.next().map(|value| (None, value)),
            Open::Object(members) => members.next().map(|(name, value)| (Some(name), value)),
        };
        let Some((name, value)) = next else {
            text.push(if matches!(container, Open::Array(_)) { ']' } else { '}' });
            open.pop();
            continue;
        };
        if !is_first {
            text.push_str(", ");
        }
        if let Some(name) = name {
            text.push_str(&to_json(name).unwrap_or_default());
            text.push_str(": ");
        }
        begin(value, &mut text, &mut open);
    }
    text
}

fn begin<'v>(value: &'v Value, text: &mut String, open: &mut Vec<Open<'v>>) {
    match value {
        Value::Array(elements) => {
            text.push('[');
            open.push(Open::Array(elements.iter()));
        }
        Value::Object(members) => {
            text.push('{');
            open.push(Open::Object(members.iter()));
        }
        plain => text.push_str(&to_json(plain).unwrap_or_default()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_the_same_as_that_of_the_writer_that_recurses() {
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!("[\"{"),
            json!([[], {}, [1, [2]], "[", {"a": {}, "[": [null, "{", 1.5]}]),
            json!({"a\"b": [{"é": 1}, true], "c": {"d": {"e": []}}}),
        ] {
            assert_eq!(value_to_json(&value), to_json(&value).unwrap());
        }
    }

    #[test]
    fn depth_counts_objects_and_arrays() {
        for (value, expected) in [
            (json!({}), 1),
            (json!({"a": 1}), 1),
            (json!({"a": []}), 2),
            (json!({"a": [1, {"b": [{}]}], "c": {}}), 5),
        ] {
            assert_eq!(depth(value.as_object().unwrap()), expected, "{value}");
        }
    }

    #[test]
    fn a_hundred_thousand_levels_fit_on_a_small_stack() {
        let thread = std::thread::Builder::new().stack_size(64 << 10);
        let levels = 100_000;
        let work = move || {
            let mut value = json!([]);
            for _ in 1..levels {
                value = Value::Array(vec![value]);
            }
            let members = Map::from_iter([("a".to_owned(), value)]);
            assert_eq!(depth(&members), levels + 1);
            let value = Value::Object(members);
            assert_eq!(value_to_json(&value).len(), 2 * levels + r#"{"a": }"#.len());
            dismantle([value]);
        };
        thread.spawn(work).unwrap().join().unwrap();
    }
}
