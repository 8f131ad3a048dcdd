//! Values without members, by their types.

use std::fmt;

use serde_json::Value;

use super::literal::{self, Kind, Literal};
use crate::shell::types::{Schema, Shape};

/// The type that a value must have.
#[derive(Clone, Debug)]
pub(super) enum Expected<'s> {
    Text,
    Integer {
        /// Whether it is a number of bytes, which may have a suffix.
        bytes: bool,
    },
    Number,
    Boolean,
    Null,
    Enumeration {
        values: Vec<&'s str>,
        /// Whether the machine has no other values.
        complete: bool,
    },
}

impl<'s> Expected<'s> {
    pub(super) fn of(shape: Shape<'s>, bytes: bool, schema: &Schema) -> Self {
        match shape {
            Shape::Integer => Self::Integer { bytes },
            Shape::Number => Self::Number,
            Shape::Boolean => Self::Boolean,
            Shape::Null => Self::Null,
            Shape::Enumeration(values) => Self::Enumeration {
                values: values.iter().map(|value| value.name.as_str()).collect(),
                complete: schema.is_live(),
            },
            _ => Self::Text,
        }
    }

    /// Returns the place in the order in which the alternatives of an alternate are tried.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Enumeration { .. } => 0,
            Self::Null => 1,
            Self::Integer { .. } => 2,
            Self::Number => 3,
            Self::Boolean => 4,
            Self::Text => 5,
        }
    }

    /// Takes an enumeration to have no other values than those that are known.
    pub(super) fn complete(&mut self) {
        if let Self::Enumeration { complete, .. } = self {
            *complete = true;
        }
    }

    /// Returns the values that there are.
    pub(super) fn values(&self) -> Vec<&'s str> {
        match self {
            Self::Enumeration { values, .. } => values.clone(),
            Self::Boolean => vec!["true", "false", "on", "off"],
            _ => Vec::new(),
        }
    }

    /// Returns the value that text stands for.
    pub(super) fn of_text(&self, text: &str, quoted: bool) -> Option<Value> {
        match self {
            Self::Text => Some(text.into()),
            Self::Enumeration { values, complete } => {
                (!complete || values.contains(&text)).then(|| text.into())
            }
            _ if quoted => None,
            Self::Null => matches!(text, "null" | "None").then_some(Value::Null),
            Self::Boolean => boolean(text).map(Value::Bool),
            Self::Integer { bytes } => {
                let number = literal::integer(text).or_else(|| bytes.then(|| size(text))?)?;
                whole(number)
            }
            Self::Number => {
                literal::is_number(text).then(|| literal::number(text))?.map(Value::Number)
            }
        }
    }

    /// Returns a value in brackets as the type that it must have.
    pub(super) fn of_literal(&self, literal: &Literal) -> Option<Value> {
        match (self, &literal.kind) {
            (Self::Text, Kind::String(text) | Kind::Word(text) | Kind::Number(text)) => {
                Some(text.as_str().into())
            }
            (Self::Enumeration { .. }, Kind::String(text) | Kind::Word(text)) => {
                self.of_text(text, false)
            }
            (Self::Enumeration { values, .. }, Kind::Number(text)) => {
                values.contains(&text.as_str()).then(|| text.as_str().into())
            }
            (Self::Null, Kind::Null) => Some(Value::Null),
            (Self::Boolean, Kind::Boolean(value)) => Some((*value).into()),
            (
                Self::Boolean | Self::Integer { .. } | Self::Number,
                Kind::Word(text) | Kind::Number(text),
            ) => self.of_text(text, false),
            _ => None,
        }
    }
}

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Integer { bytes: false } => f.write_str("a whole number of at most 64 bits"),
            Self::Integer { bytes: true } => {
                f.write_str("a whole number of bytes, such as 1048576 or 1M")
            }
            Self::Number => f.write_str("a number"),
            Self::Boolean => f.write_str("true or false"),
            Self::Null => f.write_str("null"),
            Self::Enumeration { values, .. } if values.len() > MAX_LISTED => {
                write!(f, "one of {} values", values.len())
            }
            Self::Enumeration { values, .. } => {
                f.write_str("one of ")?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}`{value}`", if index == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

/// The greatest number of values that an error lists.
const MAX_LISTED: usize = 12;

/// Returns the type of values of a property with this type in QOM; `None` if it is an enumeration, a
/// link or a structure.
pub(super) fn of_property(ty: &str) -> Option<Expected<'static>> {
    match ty {
        "str" | "string" => Some(Expected::Text),
        "bool" | "boolean" => Some(Expected::Boolean),
        "size" => Some(Expected::Integer { bytes: true }),
        "number" | "double" => Some(Expected::Number),
        "int" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" => {
            Some(Expected::Integer { bytes: false })
        }
        _ => None,
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" => Some(true),
        "false" | "off" => Some(false),
        _ => None,
    }
}

fn whole(number: i128) -> Option<Value> {
    let signed = i64::try_from(number).map(Value::from).ok();
    signed.or_else(|| u64::try_from(number).map(Value::from).ok())
}

/// Returns a number of bytes with one of QEMU's suffixes, which are powers of 1024: `64M`, `1.5G`.
fn size(text: &str) -> Option<i128> {
    let unit = text.chars().next_back()?;
    let number = text.get(..text.len() - unit.len_utf8())?;
    let exponent = "BKMGTPE".find(unit.to_ascii_uppercase())?;
    let factor = 1_i128 << (10 * exponent);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = !whole.is_empty() && whole.len() <= 19 && fraction.len() <= 9;
    if !fits || !is_digits(whole) || !is_digits(fraction) || number.ends_with('.') {
        return None;
    }
    let mut bytes = whole.parse::<i128>().ok()? * factor;
    if !fraction.is_empty() {
        let parts = fraction.parse::<i128>().ok()? * factor;
        let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
        if parts % scale != 0 {
            return None;
        }
        bytes += parts / scale;
    }
    Some(bytes)
}
