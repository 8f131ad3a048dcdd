//! Commands as text.

use std::fmt;

use crate::id::CallId;

/// How a command is executed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// One after the other, and answered in order.
    InBand,
    /// Ahead of the in-band commands that are queued.
    OutOfBand,
}

/// A function that appends the arguments of a command, a JSON object.
#[derive(Clone, Copy)]
pub struct WriteArguments<'a>(pub &'a dyn Fn(&mut Vec<u8>) -> serde_json::Result<()>);

impl fmt::Debug for WriteArguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteArguments")
    }
}

/// Appends `{"execute":"NAME","arguments":{...},"id":ID}` and a newline. Old guest agents refuse a
/// command that has an id, so the id is optional.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    name: &str,
    kind: Kind,
    id: Option<CallId>,
    arguments: Option<WriteArguments<'_>>,
) -> Result<(), Option<serde_json::Error>> {
    let verb: &[u8] = match kind {
        Kind::InBand => b"{\"execute\":",
        Kind::OutOfBand => b"{\"exec-oob\":",
    };
    out.extend_from_slice(verb);
    serde_json::to_writer(&mut *out, name).map_err(Some)?;
    if let Some(WriteArguments(arguments)) = arguments {
        out.extend_from_slice(b",\"arguments\":");
        let start = out.len();
        arguments(out).map_err(Some)?;
        if out.get(start) != Some(&b'{') {
            return Err(None);
        }
    }
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        serde_json::to_writer(&mut *out, &id.number()).map_err(Some)?;
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}
