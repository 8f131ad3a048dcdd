//! The arguments of QEMU's options: `key=value,...`, or a JSON object.

use serde_json::Value;

/// An argument as a list of keys and values, in order. Of a JSON object, nested members have dotted
/// keys, as they have on the command line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Options(Vec<(String, String)>);

impl Options {
    /// Parses an argument. The first value may stand without its key, which is `implied` then.
    pub(crate) fn parse(text: &str, implied: &str) -> Self {
        if text.trim_start().starts_with('{') {
            return Self::from_json(text);
        }
        let mut pairs = Vec::new();
        for (index, item) in split(text).into_iter().enumerate() {
            match item.split_once('=') {
                Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                None if index == 0 && !implied.is_empty() => pairs.push((implied.to_owned(), item)),
                // `server` and `nowait` are old spellings of `server=on` and `wait=off`.
                None => match item.strip_prefix("no") {
                    Some(key) if !key.is_empty() => pairs.push((key.to_owned(), "off".to_owned())),
                    _ => pairs.push((item, "on".to_owned())),
                },
            }
        }
        Self(pairs)
    }

    fn from_json(text: &str) -> Self {
        let mut pairs = Vec::new();
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            flatten(String::new(), &value, &mut pairs);
        }
        Self(pairs)
    }

    /// Adds a key and its value.
    pub(crate) fn push(&mut self, key: &str, value: &str) {
        self.0.push((key.to_owned(), value.to_owned()));
    }

    /// Returns the value of a key. The last one counts, as it does for QEMU.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Returns whether a switch is on.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value, "on" | "yes" | "true" | "y"))
    }
}

fn flatten(key: String, value: &Value, pairs: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(key, value, pairs);
            }
        }
        Value::Bool(on) => pairs.push((key, if *on { "on" } else { "off" }.to_owned())),
        Value::String(text) => pairs.push((key, text.clone())),
        Value::Number(number) => pairs.push((key, number.to_string())),
        Value::Array(_) | Value::Null => {}
    }
}

/// Splits at commas that are not doubled.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ',' && characters.next_if_eq(&',').is_none() {
            items.push(String::new());
            continue;
        }
        if let Some(item) = items.last_mut() {
            item.push(character);
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_qemu_reads_them() {
        let options = Options::parse("socket,id=m,path=/a,,b,server,nowait,id=n", "backend");
        for (key, value) in [
            ("backend", Some("socket")),
            ("id", Some("n")),
            ("path", Some("/a,b")),
            ("server", Some("on")),
            ("wait", Some("off")),
            ("host", None),
        ] {
            assert_eq!(options.get(key), value, "{key}");
        }
        let json = Options::parse(r#"{"qom-type":"monitor-qmp","a":{"b":true,"c":7}}"#, "qom-type");
        assert_eq!(json.get("qom-type"), Some("monitor-qmp"));
        assert!(json.is_on("a.b"));
        assert_eq!(json.get("a.c"), Some("7"));
        assert_eq!(Options::parse("{broken", "x"), Options::default());
    }
}
