//! The text of messages without their secrets.

use std::borrow::Cow;
use std::fmt;

use qmp_types::Redactor;
use qmp_types::recording::Direction;

use crate::garbage::to_ascii;

/// The length in bytes above which a message that is not UTF-8 is shown as ASCII.
const LARGE: usize = 1 << 20;

/// Makes the text that observers see, with secrets masked.
///
/// It is an object that the transcript brings along, so that programs without an observer do not
/// contain the code that finds secrets. With `#[inline]`, they do not compile it either.
pub(crate) trait Masking: fmt::Debug + Send {
    fn mask<'m>(&mut self, direction: Direction, message: &'m [u8]) -> Cow<'m, str>;
}

impl Masking for Redactor {
    #[inline]
    fn mask<'m>(&mut self, direction: Direction, message: &'m [u8]) -> Cow<'m, str> {
        let text = match std::str::from_utf8(message) {
            Ok(text) => return masked(self, direction, text),
            // Replacement characters would make it three times as large.
            Err(_) if message.len() > LARGE => to_ascii(message),
            Err(_) => String::from_utf8_lossy(message).into_owned(),
        };
        Cow::Owned(masked(self, direction, &text).into_owned())
    }
}

#[inline]
fn masked<'m>(redactor: &mut Redactor, direction: Direction, text: &'m str) -> Cow<'m, str> {
    match direction {
        Direction::Sent => redactor.sent(text),
        Direction::Received => redactor.received(text),
    }
}
