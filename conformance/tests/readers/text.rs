//! Writes a value as a server may write it, or with a fault.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::values::Dice;

/// Values that take the place of one of another type.
const WRONG: [&str; 8] =
    ["null", "true", "-1", "0.5", "18446744073709551616", "\"\\u00e9\"", "[{}]", "{\"a\":[]}"];

/// Writes one text.
pub(crate) struct Writer<'d> {
    out: String,
    dice: &'d mut Dice,
    /// Counts down to the value that is written wrongly.
    until_fault: Option<usize>,
    repeats: bool,
}

impl<'d> Writer<'d> {
    /// Returns the text of a value, every second time with a fault.
    pub(crate) fn write(value: &Value, dice: &'d mut Dice) -> String {
        let kind = dice.roll(6);
        let until_fault = (kind < 2).then(|| dice.roll(12));
        let mut writer = Writer { out: String::new(), dice, until_fault, repeats: kind > 3 };
        writer.value(value);
        let (mut text, dice) = (writer.out, writer.dice);
        if kind == 2 {
            // Not where it is a copy that differs, of which one reader might see only the last.
            let mut letters: Vec<char> = text.chars().collect();
            let at = dice.roll(letters.len());
            letters[at] = dice
                .pick(&['"', '{', '}', '[', ']', ',', ':', '\\', '1', 'x', '\n'])
                .copied()
                .unwrap();
            text = letters.into_iter().collect();
        }
        text
    }

    fn space(&mut self) {
        self.out.push_str(self.dice.pick(&["", "", " ", "\n\t", "\r\n  "]).unwrap());
    }

    fn value(&mut self, value: &Value) {
        self.space();
        match &mut self.until_fault {
            Some(0) => {
                self.until_fault = None;
                self.out.push_str(self.dice.pick(&WRONG).unwrap());
                return;
            }
            Some(count) => *count -= 1,
            None => {}
        }
        match value {
            Value::Object(members) => self.object(members),
            Value::Array(elements) => {
                self.out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.out.push_str(if index > 0 { "," } else { "" });
                    self.value(element);
                }
                self.space();
                self.out.push(']');
            }
            Value::String(text) => self.string(text),
            other => write!(self.out, "{other}").unwrap(),
        }
        self.space();
    }

    fn object(&mut self, members: &Map<String, Value>) {
        let mut members: Vec<_> = members.iter().map(|(name, value)| (&**name, value)).collect();
        let unknown = json!({"a": ["}", {"\\": 1.5}], "driver": "x", "type": 7});
        if self.dice.roll(4) == 0 {
            members.push(("x-unknown", &unknown));
        }
        if self.repeats && self.dice.roll(2) == 0 {
            members.extend(self.dice.pick(&members.clone()));
        }
        for index in (1..members.len()).rev() {
            members.swap(index, self.dice.roll(index + 1));
        }
        self.out.push('{');
        for (index, (name, value)) in members.into_iter().enumerate() {
            self.out.push_str(if index > 0 { "," } else { "" });
            self.space();
            self.string(name);
            self.space();
            self.out.push(':');
            self.value(value);
        }
        self.space();
        self.out.push('}');
    }

    /// Writes a string, now and then with more escapes than it needs.
    fn string(&mut self, text: &str) {
        if self.dice.roll(8) > 0 {
            self.out.push_str(&json!(text).to_string());
            return;
        }
        self.out.push('"');
        for unit in text.encode_utf16() {
            write!(self.out, "\\u{unit:04x}").unwrap();
        }
        self.out.push('"');
    }
}
