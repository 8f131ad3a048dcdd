//! The output buffer: bytes to be sent, and the descriptors that travel with them.

use std::fmt;

/// A file descriptor that travels with a command.
#[cfg(unix)]
pub type Descriptor = std::os::fd::OwnedFd;
/// A file descriptor; this system has none that can travel with a command.
#[cfg(not(unix))]
pub type Descriptor = std::convert::Infallible;

/// Bytes to be sent, in pieces. A command with descriptors begins a piece, so that they are sent
/// with the first byte of their command and not with an earlier one.
///
/// A driver that shares its connection takes the output out
/// ([`Connection::take_output`](crate::Connection::take_output)) and sends it without the lock.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// The number of bytes of the connection that were appended before these.
    base: u64,
    /// Where each command with descriptors begins, as an index into `bytes`.
    descriptors: Vec<(usize, Vec<Descriptor>)>,
}

/// The bytes are not shown: commands have secrets.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("length", &self.bytes.len())
            .field("sent", &self.sent)
            .field("descriptors", &self.descriptors)
            .finish()
    }
}

impl Output {
    /// Returns the buffer to which the next command is appended.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Attaches descriptors to the command that begins at `start`.
    pub(crate) fn attach(&mut self, start: usize, descriptors: Vec<Descriptor>) {
        if !descriptors.is_empty() {
            self.descriptors.push((start, descriptors));
        }
    }

    /// Returns the number of bytes that have not been sent.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Returns the number of bytes of the connection that have been appended so far.
    #[inline]
    pub(crate) fn end_position(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Goes on after an output that was taken out.
    pub(crate) fn follow(&mut self, taken: &Self) {
        self.base = taken.end_position();
    }

    /// Returns the number of bytes of the connection that have been sent so far. All that follow have
    /// not.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// # use qmp_protocol::Output;
    /// connection.submit(Submission::new("stop"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    /// let before = output.position();
    /// output.sent(5);
    /// assert_eq!(output.position() - before, 5);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn position(&self) -> u64 {
        self.base + self.sent as u64
    }

    /// Returns whether everything has been sent.
    ///
    /// ```
    /// use qmp_protocol::Output;
    ///
    /// assert!(Output::default().is_empty());
    /// ```
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes to send next, all in one piece.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// # use qmp_protocol::Output;
    /// connection.submit(Submission::new("stop"))?;
    /// connection.submit(Submission::new("cont"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    /// let expected = b"{\"execute\":\"stop\",\"id\":1}\n{\"execute\":\"cont\",\"id\":2}\n";
    /// assert_eq!(output.piece(), expected);
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn piece(&self) -> &[u8] {
        for (start, _) in &self.descriptors {
            if *start > self.sent {
                return &self.bytes[self.sent..*start];
            }
        }
        &self.bytes[self.sent..]
    }

    /// Returns the descriptors that travel with the first byte of the piece.
    #[inline]
    #[must_use]
    pub fn descriptors(&self) -> &[Descriptor] {
        match self.descriptors.first() {
            Some((start, descriptors)) if *start == self.sent => descriptors,
            _ => &[],
        }
    }

    /// Records that the first `count` bytes of the piece have been sent, and with them its
    /// descriptors, which are closed on this side.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// # use qmp_protocol::Output;
    /// connection.submit(Submission::new("stop"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    /// output.sent(11);
    /// assert_eq!(output.piece(), b"\"stop\",\"id\":1}\n");
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    #[inline]
    pub fn sent(&mut self, count: usize) {
        if count > 0 && !self.descriptors().is_empty() {
            // They are few: the limit on open files bounds them.
            self.descriptors.remove(0);
        }
        self.sent += count;
        if self.sent >= self.bytes.len() {
            self.base += self.bytes.len() as u64;
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Discards what has not been sent.
    ///
    /// ```
    /// # use qmp_protocol::{Connection, Incoming, Settings, Submission};
    /// # let mut connection = Connection::new(Settings::default(), None);
    /// # let mut input = connection.new_input();
    /// # input.push(br#"{"QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # connection.sent(connection.output().len());
    /// # input.push(br#"{"return": {}, "id": 0}"#);
    /// # while connection.next(&mut input).is_some() {}
    /// # assert!(connection.is_ready());
    /// # use qmp_protocol::Output;
    /// connection.submit(Submission::new("stop"))?;
    /// let mut output = Output::default();
    /// connection.take_output(&mut output);
    /// output.clear();
    /// assert!(output.is_empty());
    /// # Ok::<(), qmp_protocol::Error>(())
    /// ```
    pub fn clear(&mut self) {
        *self = Self { base: self.end_position(), ..Self::default() };
    }

    /// Frees the buffer if it is empty and larger than `keep` bytes.
    #[inline]
    pub fn release(&mut self, keep: usize) {
        if self.bytes.is_empty() && self.bytes.capacity() > keep {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A large command is rare: its memory is given back, but what has not been sent stays.
    #[test]
    fn a_large_buffer_is_freed_once_it_has_been_sent() {
        let mut output = Output::default();
        output.end().extend_from_slice(&[b'x'; 100_000]);
        output.release(0);
        assert_eq!(output.piece().len(), 100_000);
        output.sent(99_999);
        output.release(0);
        assert_eq!((output.piece(), output.length()), (&b"x"[..], 1));
        output.sent(1);
        let size = output.bytes.capacity();
        assert!(size >= 100_000);
        output.release(size);
        assert_eq!(output.bytes.capacity(), size);
        output.release(size - 1);
        assert_eq!(output.bytes.capacity(), 0);
        // The position in the connection's output is kept.
        assert_eq!((output.position(), output.end_position()), (100_000, 100_000));
    }
}
