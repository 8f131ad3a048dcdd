//! The meaning of a value whose type nothing tells.

use serde_json::Value;

use super::SyntaxError;
use super::literal;
use super::words::Word;

/// Returns the meaning of a value whose type is not known, as qmp-shell has it: a whole number that 64
/// bits can hold, `true` or `false`, and a value in brackets are what they look like. Everything
/// else is text, without quotes if it is in quotes as a whole.
pub(super) fn guess(text: &str, word: Word<'_>) -> Result<Value, SyntaxError> {
    if let Some(string) = literal::unquoted(text, word.span()) {
        return string.map(Value::String);
    }
    if word.text.starts_with(['{', '[']) {
        if let Ok(value) = literal::whole(text, word.span()).and_then(|value| value.to_json()) {
            return Ok(value);
        }
    }
    if word.text.eq_ignore_ascii_case("true") || word.text.eq_ignore_ascii_case("false") {
        return Ok(word.text.eq_ignore_ascii_case("true").into());
    }
    let decimal = word.text.bytes().all(|byte| byte.is_ascii_digit() || b"+-_".contains(&byte));
    let number = literal::integer(word.text).filter(|_| decimal);
    if let Some(number) = number {
        if let Ok(number) = i64::try_from(number) {
            return Ok(number.into());
        }
        if let Ok(number) = u64::try_from(number) {
            return Ok(number.into());
        }
    }
    Ok(Value::String(word.text.to_owned()))
}
