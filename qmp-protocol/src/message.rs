//! Questions about a message as a whole.

use qmp_types::{DecodeError, ServerMessage};

use crate::error::ProtocolError;
use crate::garbage::Garbage;
use crate::id::{CallId, ReplyId};
use crate::service::Service;

/// The longest damaged message that is decoded for its id, in bytes.
const SHORT: usize = 64 * 1024;

/// The length of the end of a damaged message in which its id is looked for, in bytes.
pub(crate) const ENDING: usize = 64;

/// Returns the id in bytes that are not a valid message but may have been meant as a reply.
pub(crate) fn reply_id(bytes: &[u8]) -> Option<CallId> {
    // QEMU puts the id last.
    if let Some(id) = id_at_end(&bytes[bytes.len().saturating_sub(ENDING)..]) {
        return Some(id);
    }
    // A text with damage may be several times as long as the bytes: it is made of a short one only.
    (bytes.len() <= SHORT).then(|| id_in(&String::from_utf8_lossy(bytes)))?
}

/// Returns the id that ends with the bytes of a reply, if they end the reply.
pub(crate) fn id_at_end(ending: &[u8]) -> Option<CallId> {
    let ending = String::from_utf8_lossy(ending);
    let (member, id) = ending.trim_ascii_end().strip_suffix('}')?.rsplit_once(':')?;
    let (_, key) = member.trim_ascii_end().strip_suffix('"')?.rsplit_once('"')?;
    // The parser reads it, since a key may have escapes.
    id_in(&format!("{{\"return\":0,\"{key}\":{id}}}"))
}

/// Returns the id of a reply.
fn id_in(text: &str) -> Option<CallId> {
    match qmp_types::decode(text) {
        Ok(ServerMessage::Return { id, .. } | ServerMessage::Error { id, .. }) => {
            ReplyId::new(id).call()
        }
        _ => None,
    }
}

/// Returns whether a short text contains a part. The standard library's search is made for long texts,
/// and is large.
pub(crate) fn contains(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
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
    contains(text, "\"execute\"") || is_line && !is_part
}

/// Returns the error for a peer whose first bytes are garbage. A human monitor is recognized, and so
/// are servers of other protocols that speak first.
pub(crate) fn not_qmp(garbage: Garbage) -> ProtocolError {
    let banner = &garbage.snippet;
    if banner.starts_with("QEMU ") && contains(banner, " monitor") || contains(banner, "(qemu)") {
        return ProtocolError::HumanMonitor { banner: banner.clone() };
    }
    match Service::recognize(banner) {
        Some(service) => ProtocolError::OtherService { service, garbage },
        None => ProtocolError::NotQmp(garbage),
    }
}
