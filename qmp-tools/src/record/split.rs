//! Splits a stream into messages, without changing it.

/// The largest message that is kept, in bytes. The rest of a larger one is dropped: without its
/// beginning, nothing would tell which parts of it are secret.
const MAX_MESSAGE: usize = 64 << 20;

/// Splits the bytes of a stream into messages: JSON objects, and lines of anything else.
#[derive(Debug, Default)]
pub struct Split {
    message: Vec<u8>,
    depth: usize,
    /// The quote that ends the string that is being read.
    quote: Option<u8>,
    is_escaped: bool,
    /// Whether the message was too long, and only its first byte is kept.
    is_dropped: bool,
}

impl Split {
    /// Reads bytes, and calls a function with each message that they complete.
    pub fn push(&mut self, bytes: &[u8], message: &mut dyn FnMut(&str)) {
        for byte in bytes {
            // A guest agent's separator and blanks are between messages.
            if self.message.is_empty() && (byte.is_ascii_whitespace() || *byte == 0xFF) {
                continue;
            }
            if !self.is_dropped {
                self.message.push(*byte);
            }
            if self.ends_with(*byte) {
                self.end(message);
            } else if self.message.len() >= MAX_MESSAGE {
                let text = String::from_utf8_lossy(&self.message);
                message(&text);
                self.message.truncate(1);
                self.message.shrink_to_fit();
                self.is_dropped = true;
            }
        }
    }

    /// Calls a function with the message that is incomplete at the end of the stream, if any.
    pub fn end(&mut self, message: &mut dyn FnMut(&str)) {
        let Self { message: bytes, is_dropped, .. } = std::mem::take(self);
        if is_dropped {
            return;
        }
        let text = String::from_utf8_lossy(bytes.trim_ascii());
        if !text.is_empty() {
            message(&text);
        }
    }

    /// Returns whether a byte ends the message.
    fn ends_with(&mut self, byte: u8) -> bool {
        if !self.message.starts_with(b"{") {
            return byte == b'\n';
        }
        // With these, QEMU gives up what it has read, and begins anew.
        if byte == 0xFF || (self.quote.is_some() && byte < b' ') {
            return true;
        }
        if let Some(quote) = self.quote {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                _ if byte == quote => self.quote = None,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' | b'\'' => self.quote = Some(byte),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_wherever_it_is_cut() {
        let stream =
            b"\xFF {\"a\": \"}\\\"\"}{'b': ['}']}\r\ngarbage\n\n{\n  \"c\": {}\n} \xe9\n{\"d";
        let expected = [
            "{\"a\": \"}\\\"\"}",
            "{'b': ['}']}",
            "garbage",
            "{\n  \"c\": {}\n}",
            "\u{fffd}",
            "{\"d",
        ];
        for size in 1..stream.len() {
            let mut messages = Vec::new();
            let mut split = Split::default();
            for piece in stream.chunks(size) {
                split.push(piece, &mut |message| messages.push(message.to_owned()));
            }
            split.end(&mut |message| messages.push(message.to_owned()));
            assert_eq!(messages, expected, "pieces of {size} bytes");
        }
    }

    fn messages(stream: &[u8]) -> Vec<String> {
        let mut messages = Vec::new();
        let mut split = Split::default();
        for piece in stream.chunks(1 << 16) {
            split.push(piece, &mut |message| messages.push(message.to_owned()));
        }
        split.end(&mut |message| messages.push(message.to_owned()));
        messages
    }

    /// A command would be hidden in one that is never complete, and the secrets in its reply shown.
    #[test]
    fn messages_begin_anew_where_they_do_for_qemu() {
        let command = r#"{"execute": "qom-get"}"#;
        for garbage in [&b"{\xFF"[..], b"{\"a\xFF", b"{'a\n", b"[{\xFF\n", b"{\"a\\\xFF"] {
            let stream = [garbage, command.as_bytes()].concat();
            let messages = messages(&stream);
            assert_eq!(messages.last().unwrap(), command, "{garbage:?}");
        }
    }

    /// The rest of a message that is too long could have secrets that nothing tells.
    #[test]
    fn what_is_too_long_is_dropped() {
        let mut stream = br#"{"execute": "object-add", "arguments": {"data": ""#.to_vec();
        stream.resize(MAX_MESSAGE + 10, b'x');
        stream.extend_from_slice(br#"hunter2"}} {"execute": "stop"}"#);
        let messages = messages(&stream);
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].len(), MAX_MESSAGE);
        assert_eq!(messages[1], r#"{"execute": "stop"}"#);
    }
}
