//! Splits a stream into messages, without changing it.

/// The largest message that is kept, in bytes. The rest of a larger one is a message of its own.
const MAX_MESSAGE: usize = 64 << 20;

/// Splits the bytes of a stream into messages: JSON objects, and lines of anything else.
#[derive(Debug, Default)]
pub struct Split {
    message: Vec<u8>,
    depth: usize,
    /// The quote that ends the string that is being read.
    quote: Option<u8>,
    is_escaped: bool,
}

impl Split {
    /// Reads bytes, and calls a function with each message that they complete.
    pub fn push(&mut self, bytes: &[u8], message: &mut dyn FnMut(&str)) {
        for byte in bytes {
            // A guest agent's separator and blanks are between messages.
            if self.message.is_empty() && (byte.is_ascii_whitespace() || *byte == 0xFF) {
                continue;
            }
            self.message.push(*byte);
            if self.ends_with(*byte) || self.message.len() >= MAX_MESSAGE {
                self.end(message);
            }
        }
    }

    /// Calls a function with the message that is incomplete at the end of the stream, if any.
    pub fn end(&mut self, message: &mut dyn FnMut(&str)) {
        let bytes = std::mem::take(self).message;
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
}
