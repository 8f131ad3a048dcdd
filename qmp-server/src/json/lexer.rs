//! Splits bytes into tokens, and recovers after bytes that do not form a token.

/// The capacity in bytes that a lexer keeps for the next token.
const KEPT_CAPACITY: usize = 1 << 10;

/// The kind of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    BraceOpen,
    BraceClose,
    BracketOpen,
    BracketClose,
    Comma,
    Colon,
    Integer,
    Float,
    /// Lower-case letters. The parser checks whether they are `true`, `false` or `null`.
    Keyword,
    /// A string with its quotes. The parser checks its escape sequences and encoding.
    Text,
    /// Bytes that do not form a token. The last one is the byte that does not fit.
    Stray,
    /// A token that exceeds the limit, truncated.
    TooLong,
}

/// The position of a token's first byte. Lines and columns are counted from 1, columns in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Start,
    /// After an error: bytes are skipped up to one that may start a new message.
    Recovery,
    Text(u8),
    Escape(u8),
    Minus,
    Zero,
    Digits,
    /// After the decimal point, before its first digit.
    Point,
    Fraction,
    /// After `e`, before its sign or first digit.
    Exponent,
    ExponentSign,
    ExponentDigits,
    Keyword,
}

/// The effect of a byte in a state.
enum Step {
    /// The byte belongs to the token, which continues.
    Continue(State),
    /// The byte is the last one of the token.
    End(Kind),
    /// The byte is the first one after the token.
    EndBefore(Kind),
    /// The byte is white space, or is skipped by recovery.
    Skip,
    /// Recovery ends before this byte.
    Recovered,
    /// The byte does not fit any token.
    Stray,
}

/// A receiver of tokens.
pub(super) trait Sink {
    fn token(&mut self, kind: Kind, bytes: &[u8], position: Position);
}

#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    token: Vec<u8>,
    max_token: usize,
    start: Position,
    /// The position of the last byte read.
    current: Position,
}

impl Lexer {
    pub(super) fn new(max_token: usize) -> Self {
        let start = Position { line: 1, column: 1 };
        let current = Position { line: 1, column: 0 };
        Self { state: State::Start, token: Vec::new(), max_token, start, current }
    }

    /// Reads bytes until `sink` has received a token, or two if the byte that ends a token is one by
    /// itself. Returns the number of bytes read.
    pub(super) fn read(&mut self, bytes: &[u8], sink: &mut impl Sink) -> usize {
        let mut at = 0;
        loop {
            at += self.take_plain_text(&bytes[at..]);
            let Some(&byte) = bytes.get(at) else { return at };
            at += 1;
            self.current.column += 1;
            if byte == b'\n' {
                self.current = Position { line: self.current.line + 1, column: 0 };
            }
            if self.step(byte, sink) {
                return at;
            }
        }
    }

    /// Returns the memory in bytes that an unfinished token uses beyond what every lexer keeps.
    pub(super) fn held(&self) -> usize {
        self.token.capacity().saturating_sub(KEPT_CAPACITY)
    }

    /// Returns whether a message can begin.
    pub(super) fn is_at_start(&self) -> bool {
        self.state == State::Start
    }

    /// Counts bytes that have been read elsewhere.
    pub(super) fn skip(&mut self, bytes: &[u8]) {
        let Position { line, column } = self.current;
        self.current = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => {
                // Most commands have only the last one.
                let others = match bytes[..last].contains(&b'\n') {
                    true => bytes[..last].iter().filter(|byte| **byte == b'\n').count(),
                    false => 0,
                };
                Position { line: line + others + 1, column: bytes.len() - last - 1 }
            }
            None => Position { line, column: column + bytes.len() },
        };
        self.start_next();
    }

    /// Drops an unfinished token, and skips bytes up to one that may start a new message.
    pub(super) fn abandon(&mut self) {
        self.token = Vec::new();
        self.state = State::Recovery;
        self.start_next();
    }

    /// Within a string, adds bytes to the token up to a quote, an escape or an invalid byte, and
    /// during recovery, skips bytes. Returns their number. This is faster than one step per byte.
    fn take_plain_text(&mut self, bytes: &[u8]) -> usize {
        let quote = match self.state {
            State::Text(quote) => quote,
            State::Recovery => {
                let length = bytes.iter().take_while(|byte| !ends_recovery(**byte)).count();
                self.current.column += length;
                self.start_next();
                return length;
            }
            _ => return 0,
        };
        let plain = |byte: &u8| matches!(byte, 0x20..=0xFD) && *byte != quote && *byte != b'\\';
        let room = self.max_token.saturating_sub(self.token.len());
        let length = bytes.iter().take(room).take_while(|byte| plain(byte)).count();
        self.token.extend_from_slice(&bytes[..length]);
        self.current.column += length;
        length
    }

    /// Reads one byte, and returns whether it has completed a token.
    fn step(&mut self, byte: u8, sink: &mut impl Sink) -> bool {
        match step(self.state, byte) {
            Step::Continue(state) => {
                self.token.push(byte);
                self.state = state;
                let too_long = self.token.len() > self.max_token;
                if too_long {
                    self.end(Kind::TooLong, State::Recovery, sink);
                }
                too_long
            }
            Step::End(kind) => {
                self.token.push(byte);
                self.end(kind, State::Start, sink);
                true
            }
            Step::EndBefore(kind) => {
                self.end(kind, State::Start, sink);
                self.step(byte, sink);
                true
            }
            Step::Stray => {
                self.token.push(byte);
                self.end(Kind::Stray, State::Recovery, sink);
                true
            }
            Step::Skip => {
                self.start_next();
                false
            }
            Step::Recovered => {
                self.state = State::Start;
                self.start_next();
                self.step(byte, sink)
            }
        }
    }

    fn end(&mut self, kind: Kind, next: State, sink: &mut impl Sink) {
        sink.token(kind, &self.token, self.start);
        self.token.clear();
        // Do not keep the memory of one huge token for the rest of the connection.
        self.token.shrink_to(KEPT_CAPACITY);
        self.state = next;
        self.start_next();
    }

    // QEMU counts from the byte it has read last, even if that byte is processed again as part of
    // the next token: the column of a bracket right after a number is one too large. This does the
    // same so that replies are equal.
    fn start_next(&mut self) {
        self.start = Position { column: self.current.column + 1, ..self.current };
    }
}

fn step(state: State, byte: u8) -> Step {
    match state {
        State::Start => start(byte),
        State::Recovery if ends_recovery(byte) => Step::Recovered,
        State::Recovery => Step::Skip,
        State::Text(quote) | State::Escape(quote) => text(state, quote, byte),
        State::Keyword => match byte {
            b'a'..=b'z' => Step::Continue(State::Keyword),
            _ => Step::EndBefore(Kind::Keyword),
        },
        _ => number(state, byte),
    }
}

/// Returns whether recovery ends before this byte, which may start a new message.
fn ends_recovery(byte: u8) -> bool {
    matches!(byte, 0..=0x1F | 0xFE..=0xFF | b'{' | b'}' | b'[' | b']' | b':' | b',')
}

fn start(byte: u8) -> Step {
    match byte {
        b' ' | b'\t' | b'\r' | b'\n' => Step::Skip,
        b'{' => Step::End(Kind::BraceOpen),
        b'}' => Step::End(Kind::BraceClose),
        b'[' => Step::End(Kind::BracketOpen),
        b']' => Step::End(Kind::BracketClose),
        b',' => Step::End(Kind::Comma),
        b':' => Step::End(Kind::Colon),
        b'"' | b'\'' => Step::Continue(State::Text(byte)),
        b'-' => Step::Continue(State::Minus),
        b'0' => Step::Continue(State::Zero),
        b'1'..=b'9' => Step::Continue(State::Digits),
        b'a'..=b'z' => Step::Continue(State::Keyword),
        _ => Step::Stray,
    }
}

fn text(state: State, quote: u8, byte: u8) -> Step {
    match (state, byte) {
        (_, 0..=0x1F | 0xFE..=0xFF) => Step::Stray,
        (State::Escape(_), _) => Step::Continue(State::Text(quote)),
        (_, b'\\') => Step::Continue(State::Escape(quote)),
        _ if byte == quote => Step::End(Kind::Text),
        _ => Step::Continue(State::Text(quote)),
    }
}

fn number(state: State, byte: u8) -> Step {
    match (state, byte) {
        (State::Zero, b'0'..=b'9') => Step::Stray,
        (State::Minus, b'0') => Step::Continue(State::Zero),
        (State::Minus | State::Digits, b'0'..=b'9') => Step::Continue(State::Digits),
        (State::Zero | State::Digits, b'.') => Step::Continue(State::Point),
        (State::Digits | State::Fraction, b'e' | b'E') => Step::Continue(State::Exponent),
        (State::Zero | State::Digits, _) => Step::EndBefore(Kind::Integer),
        (State::Point | State::Fraction, b'0'..=b'9') => Step::Continue(State::Fraction),
        (State::Exponent, b'+' | b'-') => Step::Continue(State::ExponentSign),
        (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
            Step::Continue(State::ExponentDigits)
        }
        (State::Fraction | State::ExponentDigits, _) => Step::EndBefore(Kind::Float),
        _ => Step::Stray,
    }
}
