//! Bytes that a hostile peer sends, written down as pieces that are repeated: the peer itself needs
//! no memory for them.

use std::io::Write;

use serde_json::Value;

/// The bytes that a peer sends, as pieces that are repeated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(Vec<(Vec<u8>, u64)>);

/// The number of times of a piece without end.
pub(crate) const ENDLESS: u64 = u64::MAX;

/// The largest block that is written at once. A peer that is slower than the client proves nothing.
const BLOCK: usize = 64 << 10;

impl Script {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().then(bytes)
    }

    pub(crate) fn then(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.repeat(bytes, 1)
    }

    pub(crate) fn repeat(mut self, bytes: impl Into<Vec<u8>>, times: u64) -> Self {
        self.0.push((bytes.into(), times));
        self
    }

    pub(crate) fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Plays the script, until the client has left.
    pub(crate) fn play(&self, stream: &mut impl Write) -> std::io::Result<()> {
        for (piece, times) in &self.0 {
            if piece.is_empty() {
                continue;
            }
            let together = (BLOCK / piece.len()).clamp(1, usize::try_from(*times).unwrap_or(BLOCK));
            let block = piece.repeat(together);
            let together = together as u64;
            for _ in 0..times / together {
                stream.write_all(&block)?;
            }
            for _ in 0..times % together {
                stream.write_all(piece)?;
            }
        }
        Ok(())
    }
}

/// Changes to a reply, or to an event, that keep its shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// In the place of the inside of each string.
    pub(crate) string: Option<Script>,
    /// In the place of each number.
    pub(crate) number: Option<&'static str>,
    /// In the place of each boolean.
    pub(crate) boolean: Option<&'static str>,
    /// The number of times of each element of a list.
    pub(crate) times: u64,
    /// Members that precede those of the outermost object.
    pub(crate) first: Option<Script>,
    /// Whether each member is duplicated.
    pub(crate) twice: bool,
}

impl Change {
    pub(crate) fn apply(&self, value: &Value) -> Script {
        let mut script = self.write(value, Script::default());
        if let (Some(first), Value::Object(_)) = (&self.first, value) {
            let mut rest = script.0.split_off(1);
            let comma = if matches!(value, Value::Object(it) if it.is_empty()) { "" } else { "," };
            script = script.append(first.clone()).then(comma);
            script.0.append(&mut rest);
        }
        script
    }

    fn write(&self, value: &Value, mut out: Script) -> Script {
        match (value, &self.string) {
            (Value::String(_), Some(inside)) => out.then("\"").append(inside.clone()).then("\""),
            (Value::Number(_), _) if self.number.is_some() => out.then(self.number.unwrap()),
            (Value::Bool(_), _) if self.boolean.is_some() => out.then(self.boolean.unwrap()),
            (Value::Array(elements), _) => {
                out = out.then("[");
                for (index, element) in elements.iter().enumerate() {
                    out = if index > 0 { out.then(",") } else { out };
                    if self.times > 1 {
                        // Without huge strings, so that the element is one piece.
                        let mut piece = Vec::new();
                        self.write(element, Script::default()).play(&mut piece).unwrap();
                        piece.push(b',');
                        out = out.repeat(piece, self.times - 1);
                    }
                    out = self.write(element, out);
                }
                out.then("]")
            }
            (Value::Object(members), _) => {
                out = out.then("{");
                let copies = if self.twice { 2 } else { 1 };
                let all = std::iter::repeat_n(members, copies).flatten();
                for (index, (name, value)) in all.enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    out = out.then(format!("{comma}{}:", Value::from(&**name)));
                    out = self.write(value, out);
                }
                out.then("}")
            }
            _ => out.then(value.to_string()),
        }
    }
}
