//! Replies and events that do not match the schema.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use qmp_types::DecodeError;

use crate::printable::{Excerpt, NAME};

/// The message that does not match the schema.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Subject {
    /// The reply to this command.
    Reply(Cow<'static, str>),
    /// The data of this event.
    Event(Box<str>),
}

/// A reply or an event that does not match the schema. The connection goes on.
#[derive(Clone)]
#[non_exhaustive]
pub struct Mismatch {
    /// The message that does not match.
    pub subject: Subject,
    /// The member that does not match, and why.
    pub error: DecodeError,
}

impl Mismatch {
    /// Creates the error of a reply.
    ///
    /// ```
    /// use qmp_protocol::Mismatch;
    ///
    /// let error = qmp_types::decode::<u32>(r#""many""#).expect_err("text is not a number");
    /// let mismatch = Mismatch::reply("query-cpus-fast".into(), error);
    /// assert_eq!(
    ///     mismatch.to_string(),
    ///     "the reply to `query-cpus-fast` does not match the schema"
    /// );
    /// ```
    #[must_use]
    pub fn reply(command: Cow<'static, str>, error: DecodeError) -> Self {
        Self { subject: Subject::Reply(command), error }
    }

    /// Creates the error of an event.
    ///
    /// ```
    /// use qmp_protocol::Mismatch;
    ///
    /// let error = qmp_types::decode::<u32>(r#""many""#).expect_err("text is not a number");
    /// let mismatch = Mismatch::event("RTC_CHANGE", error);
    /// assert_eq!(
    ///     mismatch.to_string(),
    ///     "the data of event `RTC_CHANGE` does not match the schema"
    /// );
    /// ```
    #[must_use]
    pub fn event(name: &str, error: DecodeError) -> Self {
        Self { subject: Subject::Event(name.into()), error }
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        qmp_types::debug_error(f, "Mismatch", self, format_args!(""))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Reply(command) => {
                write!(f, "the reply to `{}` does not match the schema", Excerpt(&**command, NAME))
            }
            Subject::Event(name) => {
                write!(
                    f,
                    "the data of event `{}` does not match the schema",
                    Excerpt(&**name, NAME)
                )
            }
        }
    }
}

impl StdError for Mismatch {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
