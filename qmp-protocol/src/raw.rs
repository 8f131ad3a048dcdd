//! Commands without a schema.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use qmp_types::redact;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::encode::Kind;
use crate::request::Request;

/// A command by its name, for commands that no schema has.
///
/// The reply is decoded as `T`: a [`Value`], a `Box<RawValue>` for the text as it arrived, or your
/// own type.
///
/// ```
/// use qmp_protocol::Raw;
/// use serde_json::json;
///
/// let command: Raw = Raw::new("qom-list").arguments(&json!({"path": "/machine"}));
/// ```
pub struct Raw<T = Value> {
    name: Cow<'static, str>,
    arguments: Option<serde_json::Result<Box<RawValue>>>,
    kind: Kind,
    returns: PhantomData<fn() -> T>,
}

impl<T> Raw<T> {
    /// Creates a command without arguments.
    ///
    /// ```
    /// use qmp_protocol::Raw;
    /// use serde_json::value::RawValue;
    ///
    /// // The reply is kept as the text that arrives.
    /// let command = Raw::<Box<RawValue>>::new("query-name");
    /// ```
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), arguments: None, kind: Kind::InBand, returns: PhantomData }
    }

    /// Sets the arguments, which must be a JSON object: a [`Value`], a [`RawValue`] or a struct.
    ///
    /// ```
    /// use qmp_protocol::{Raw, Request};
    /// use serde_json::json;
    ///
    /// let command: Raw = Raw::new("qom-list").arguments(&json!({"path": "/machine"}));
    /// let mut text = Vec::new();
    /// command.write_arguments(&mut text)?;
    /// assert_eq!(text, br#"{"path":"/machine"}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn arguments<A: Serialize + ?Sized>(mut self, arguments: &A) -> Self {
        self.arguments = Some(to_raw_value(arguments));
        self
    }

    /// Executes the command out-of-band. The server refuses that for most commands.
    ///
    /// ```
    /// use qmp_protocol::{Kind, Raw, Request};
    ///
    /// let command: Raw = Raw::new("migrate-pause").out_of_band();
    /// assert_eq!(command.kind(), Kind::OutOfBand);
    /// ```
    #[must_use]
    pub fn out_of_band(mut self) -> Self {
        self.kind = Kind::OutOfBand;
        self
    }
}

impl<T> Raw<T> {
    /// Returns the arguments without their secrets.
    fn shown(&self) -> Option<Result<Cow<'_, str>, &serde_json::Error>> {
        let arguments = self.arguments.as_ref()?.as_ref();
        Some(arguments.map(|text| redact(&self.name, text.get())))
    }
}

/// Secrets are masked, as far as their names are known or suggest it.
impl<T> fmt::Debug for Raw<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("name", &self.name)
            .field("arguments", &self.shown())
            .field("kind", &self.kind)
            .finish()
    }
}

impl<T: DeserializeOwned> Request for Raw<T> {
    type Return = T;

    fn name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn has_arguments(&self) -> bool {
        self.arguments.is_some()
    }

    fn write_arguments(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match &self.arguments {
            Some(Ok(text)) => {
                out.extend_from_slice(text.get().as_bytes());
                Ok(())
            }
            Some(Err(error)) => Err(serde::ser::Error::custom(error)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic)] // tests
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::EncodedRequest;

    /// A program that logs what it executes logged passwords.
    #[test]
    fn debug_shows_no_secrets() {
        let arguments = json!({"protocol": "vnc", "password": "hunter2"});
        let raw: Raw = Raw::new("set_password").arguments(&arguments);
        let shown = format!("{raw:?}");
        assert!(shown.contains("vnc") && !shown.contains("hunter2"), "{shown}");
        let Ok(encoded) = EncodedRequest::new(&raw) else { panic!("{raw:?}") };
        assert_eq!(
            format!("{encoded:?}"),
            "EncodedRequest { name: \"set_password\", kind: InBand, .. }"
        );
    }
}
