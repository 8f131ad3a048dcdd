//! Questions about a message as a whole.

use qmp_types::{DecodeError, ServerMessage};

use crate::error::ProtocolError;
use crate::garbage::Garbage;
use crate::id::CallId;

/// Returns the id in a text that is not a valid message but may have been meant as a reply.
pub(crate) fn reply_id(text: &str) -> Option<CallId> {
    if let Ok(ServerMessage::Return { id, .. } | ServerMessage::Error { id, .. }) =
        qmp_types::decode(text)
    {
        return id.and_then(CallId::parse);
    }
    // QEMU puts the id last.
    let (_, rest) = text.rsplit_once("\"id\"")?;
    let digits = rest.trim_start().strip_prefix(':')?.trim_start().strip_suffix('}')?;
    CallId::from_digits(digits.trim_end())
}

/// Describes why a JSON object is not a message.
pub(crate) fn describe(error: &DecodeError) -> String {
    match error.path() {
        "$" => error.reason().to_owned(),
        path => format!("{} at {path}", error.reason()),
    }
}

/// Returns whether garbage cannot come from a guest agent, not even from one end of a reply to an
/// earlier client: it is a line of text, or a command that a terminal has echoed.
pub(crate) fn is_terminal(garbage: &Garbage) -> bool {
    let text = &*garbage.snippet;
    // The end of a longer line is unknown.
    let is_line = !text.is_empty() && !text.ends_with('…');
    let is_part = text.starts_with('{') || text.ends_with('}');
    text.contains("\"execute\"") || is_line && !is_part
}

/// Returns the error for a peer whose first bytes are garbage. A human monitor is recognized.
pub(crate) fn not_qmp(garbage: Garbage) -> ProtocolError {
    let banner = &garbage.snippet;
    if banner.starts_with("QEMU ") && banner.contains(" monitor") || banner.contains("(qemu)") {
        return ProtocolError::HumanMonitor { banner: banner.clone() };
    }
    ProtocolError::NotQmp(garbage)
}
