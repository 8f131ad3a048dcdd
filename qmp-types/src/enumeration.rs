//! How a generated enumeration is read and written: as a string, and never as a closed set.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Visitor};

use crate::names;
use crate::printable::Excerpt;

/// A generated QAPI enumeration.
///
/// A value that the schema does not list is kept as received, so that a newer QEMU never makes a
/// reply unreadable.
pub trait Enumeration: Clone + Sized + 'static {
    /// The values that the schema lists.
    const LISTED: Listed<Self>;
}

/// The values of an enumeration that the schema lists, in its order.
#[derive(Debug)]
pub struct Listed<T: 'static> {
    /// The name of the enumeration in the schema.
    pub enumeration: &'static str,
    /// The values.
    pub values: &'static [T],
    /// Their names on the wire.
    pub names: &'static [&'static str],
    /// Creates a value that is not among these.
    pub unknown: fn(Box<str>) -> T,
}

/// Returns the value with a wire name, which need not be one that the schema lists.
#[must_use]
pub fn parse<T: Enumeration>(name: &str) -> T {
    match names::position(T::LISTED.names, name) {
        Some(index) => T::LISTED.values[index].clone(),
        None => (T::LISTED.unknown)(name.into()),
    }
}

/// Returns the value with a wire name that the schema lists.
///
/// # Errors
/// Fails if the schema does not list the name.
pub fn parse_known<T: Enumeration>(name: &str) -> Result<T, UnknownValue> {
    let Listed { enumeration, values, names: known, .. } = T::LISTED;
    match names::position(known, name) {
        Some(index) => Ok(values[index].clone()),
        None => Err(UnknownValue { enumeration, value: name.into(), known }),
    }
}

/// The error for a name that an enumeration does not have.
///
/// `Display` is fit for a terminal: control characters and invisible ones are escaped, and a long
/// name is cut off.
///
/// ```
/// # #[cfg(feature = "qmp")] {
/// use qmp_types::qmp::types::MirrorSyncMode;
///
/// let error = MirrorSyncMode::from_known("ful").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`ful` is not a value of MirrorSyncMode, did you mean `full`? \
///      (values: `top`, `full`, `none`, `incremental`, `bitmap`)",
/// );
/// # }
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct UnknownValue {
    enumeration: &'static str,
    value: Box<str>,
    known: &'static [&'static str],
}

impl UnknownValue {
    /// Returns the name of the enumeration in the schema.
    #[must_use]
    pub fn enumeration(&self) -> &'static str {
        self.enumeration
    }

    /// Returns the name that was not found.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the names that the enumeration has, in the order of the schema.
    #[must_use]
    pub fn known(&self) -> &'static [&'static str] {
        self.known
    }

    /// Returns the most similar name that the enumeration has, if one is similar at all.
    #[must_use]
    #[inline]
    pub fn suggestion(&self) -> Option<&'static str> {
        let limit = (self.value.len() / 3).clamp(1, 3);
        let near = self.known.iter().map(|known| (names::distance(&self.value, known), *known));
        let near = near.filter(|(distance, known)| *distance <= limit && *distance < known.len());
        near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
    }
}

/// How many names an error lists.
const NAMED: usize = 8;
/// How much of a wrong name an error shows, in bytes: it may be a whole file.
const SHOWN: usize = 120;

impl fmt::Debug for UnknownValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::printable::debug_error(f, "UnknownValue", self, format_args!(""))
    }
}

impl fmt::Display for UnknownValue {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = Excerpt(&*self.value, SHOWN);
        write!(f, "`{value}` is not a value of {}", self.enumeration)?;
        if let Some(suggestion) = self.suggestion() {
            write!(f, ", did you mean `{suggestion}`?")?;
        }
        for (index, known) in self.known.iter().take(NAMED).enumerate() {
            write!(f, "{} `{known}`", if index == 0 { " (values:" } else { "," })?;
        }
        match self.known.len() {
            0 => Ok(()),
            count if count > NAMED => write!(f, " and {} more)", count - NAMED),
            _ => f.write_str(")"),
        }
    }
}

impl std::error::Error for UnknownValue {}

struct EnumerationVisitor<T>(PhantomData<T>);

impl<T: Enumeration> Visitor<'_> for EnumerationVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string ({})", T::LISTED.enumeration)
    }

    fn visit_str<E>(self, name: &str) -> Result<T, E> {
        Ok(parse(name))
    }
}

/// Implements `Deserialize::deserialize` for a generated enumeration.
///
/// # Errors
/// Fails if the value is not a string.
pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Enumeration,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(EnumerationVisitor(PhantomData))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::{Capability, ErrorClass};

    #[test]
    fn only_listed_values_are_known() {
        assert_eq!(ErrorClass::from_known("DeviceNotFound"), Ok(ErrorClass::DeviceNotFound));
        assert!(ErrorClass::DeviceNotFound.is_known());
        let other: ErrorClass = "Other".parse().unwrap();
        assert!(!other.is_known());
    }

    /// A value that a server made up was printed with its escapes.
    #[test]
    fn an_unknown_value_is_fit_for_a_terminal() {
        let value: ErrorClass = "\u{1b}[2J\u{202e}".parse().unwrap();
        assert_eq!(value.to_string(), "\\u{1b}[2J\\u{202e}");
        assert_eq!(value.as_str(), "\u{1b}[2J\u{202e}");
    }

    #[test]
    fn errors_say_what_was_meant_or_what_is_possible() {
        let shown = |text: &str| Capability::from_known(text).unwrap_err().to_string();
        assert_eq!(shown("OBO"), "`OBO` is not a value of QMPCapability (values: `oob`)");
        assert_eq!(
            shown("OOB"),
            "`OOB` is not a value of QMPCapability, did you mean `oob`? (values: `oob`)"
        );
        assert_eq!(shown("a\nb"), "`a\\nb` is not a value of QMPCapability (values: `oob`)");
        let long = shown(&"ä".repeat(1000));
        assert!(long.starts_with(&format!("`{}…` is", "ä".repeat(60))), "{long}");
        let error = ErrorClass::from_known("DeviceNotFond").unwrap_err();
        assert_eq!(error.suggestion(), Some("DeviceNotFound"));
        assert_eq!(format!("{error:?}"), format!("UnknownValue({error})"));
        assert_eq!((error.enumeration(), error.value()), ("QapiErrorClass", "DeviceNotFond"));
        assert_eq!(error.known().len(), 5);
    }
}
