//! Bytes to tokens, and back to a known state after bytes that are none.

/// What a token is; its bytes stand beside it.
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
    /// Lower-case letters; whether they say `true`, `false` or `null` is the parser's question.
    Keyword,
    /// A string with its quotes, escapes and encoding unchecked.
    Text,
    /// Bytes that begin no token, the last of them the culprit.
    Stray,
    /// A token longer than the limit, cut there.
    TooLong,
}

/// Where a token starts: both count from 1, columns in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Start,
    /// After an error: everything is passed over until a byte that may start a message anew.
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

/// What one byte does in one state.
enum Step {
    /// The byte belongs to the token, which goes on.
    Take(State),
    /// The byte ends the token and belongs to it.
    Close(Kind),
    /// The byte ends the token and belongs to what follows.
    Before(Kind),
    /// The byte is white space, or nonsense that recovery passes over.
    Skip,
    /// Recovery ends in front of this byte.
    Recovered,
    /// No token goes on like this.
    Stray,
}

/// What sees the tokens.
pub(super) trait Sink {
    fn token(&mut self, kind: Kind, bytes: &[u8], place: Place);
}

#[derive(Debug)]
pub(super) struct Lexer {
    state: State,
    token: Vec<u8>,
    max_token: usize,
    start: Place,
    /// The place of the last byte fed.
    here: Place,
}

impl Lexer {
    pub(super) fn new(max_token: usize) -> Self {
        let start = Place { line: 1, column: 1 };
        let here = Place { line: 1, column: 0 };
        Self { state: State::Start, token: Vec::new(), max_token, start, here }
    }

    /// Reads bytes until `token` has seen a token, or two where the byte that ends one is the
    /// next. Says how many bytes it read.
    pub(super) fn read(&mut self, bytes: &[u8], token: &mut impl Sink) -> usize {
        let mut at = 0;
        loop {
            at += self.pass_plain_text(&bytes[at..]);
            let Some(&byte) = bytes.get(at) else { return at };
            at += 1;
            self.here.column += 1;
            if byte == b'\n' {
                self.here = Place { line: self.here.line + 1, column: 0 };
            }
            if self.step(byte, token) {
                return at;
            }
        }
    }

    /// Inside of a string, most bytes say nothing: takes them in one go.
    fn pass_plain_text(&mut self, bytes: &[u8]) -> usize {
        let State::Text(quote) = self.state else { return 0 };
        let plain = |byte: &u8| matches!(byte, 0x20..=0xFD) && *byte != quote && *byte != b'\\';
        let room = self.max_token.saturating_sub(self.token.len());
        let length = bytes.iter().take(room).take_while(|byte| plain(byte)).count();
        self.token.extend_from_slice(&bytes[..length]);
        self.here.column += length;
        length
    }

    /// Takes one byte, and says whether a token is complete.
    fn step(&mut self, byte: u8, token: &mut impl Sink) -> bool {
        match step(self.state, byte) {
            Step::Take(state) => {
                self.token.push(byte);
                self.state = state;
                let too_long = self.token.len() > self.max_token;
                if too_long {
                    self.end(Kind::TooLong, State::Recovery, token);
                }
                too_long
            }
            Step::Close(kind) => {
                self.token.push(byte);
                self.end(kind, State::Start, token);
                true
            }
            Step::Before(kind) => {
                self.end(kind, State::Start, token);
                self.step(byte, token);
                true
            }
            Step::Stray => {
                self.token.push(byte);
                self.end(Kind::Stray, State::Recovery, token);
                true
            }
            Step::Skip => {
                self.start_behind();
                false
            }
            Step::Recovered => {
                self.state = State::Start;
                self.start_behind();
                self.step(byte, token)
            }
        }
    }

    fn end(&mut self, kind: Kind, next: State, token: &mut impl Sink) {
        token.token(kind, &self.token, self.start);
        self.token.clear();
        // One huge token must not hold its memory for the rest of the connection.
        self.token.shrink_to(4096);
        self.state = next;
        self.start_behind();
    }

    // QEMU counts from the byte it looked at, even where that byte is looked at again: a bracket
    // right behind a number is reported one column too far. So do we, for replies that are equal.
    fn start_behind(&mut self) {
        self.start = Place { column: self.here.column + 1, ..self.here };
    }
}

fn step(state: State, byte: u8) -> Step {
    match state {
        State::Start => start(byte),
        State::Recovery => match byte {
            0..=0x1F | 0xFE..=0xFF | b'{' | b'}' | b'[' | b']' | b':' | b',' => Step::Recovered,
            _ => Step::Skip,
        },
        State::Text(quote) | State::Escape(quote) => text(state, quote, byte),
        State::Keyword => match byte {
            b'a'..=b'z' => Step::Take(State::Keyword),
            _ => Step::Before(Kind::Keyword),
        },
        _ => number(state, byte),
    }
}

fn start(byte: u8) -> Step {
    match byte {
        b' ' | b'\t' | b'\r' | b'\n' => Step::Skip,
        b'{' => Step::Close(Kind::BraceOpen),
        b'}' => Step::Close(Kind::BraceClose),
        b'[' => Step::Close(Kind::BracketOpen),
        b']' => Step::Close(Kind::BracketClose),
        b',' => Step::Close(Kind::Comma),
        b':' => Step::Close(Kind::Colon),
        b'"' | b'\'' => Step::Take(State::Text(byte)),
        b'-' => Step::Take(State::Minus),
        b'0' => Step::Take(State::Zero),
        b'1'..=b'9' => Step::Take(State::Digits),
        b'a'..=b'z' => Step::Take(State::Keyword),
        _ => Step::Stray,
    }
}

fn text(state: State, quote: u8, byte: u8) -> Step {
    match (state, byte) {
        (_, 0..=0x1F | 0xFE..=0xFF) => Step::Stray,
        (State::Escape(_), _) => Step::Take(State::Text(quote)),
        (_, b'\\') => Step::Take(State::Escape(quote)),
        _ if byte == quote => Step::Close(Kind::Text),
        _ => Step::Take(State::Text(quote)),
    }
}

fn number(state: State, byte: u8) -> Step {
    match (state, byte) {
        (State::Zero, b'0'..=b'9') => Step::Stray,
        (State::Minus, b'0') => Step::Take(State::Zero),
        (State::Minus | State::Digits, b'0'..=b'9') => Step::Take(State::Digits),
        (State::Zero | State::Digits, b'.') => Step::Take(State::Point),
        (State::Digits | State::Fraction, b'e' | b'E') => Step::Take(State::Exponent),
        (State::Zero | State::Digits, _) => Step::Before(Kind::Integer),
        (State::Point | State::Fraction, b'0'..=b'9') => Step::Take(State::Fraction),
        (State::Exponent, b'+' | b'-') => Step::Take(State::ExponentSign),
        (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
            Step::Take(State::ExponentDigits)
        }
        (State::Fraction | State::ExponentDigits, _) => Step::Before(Kind::Float),
        _ => Step::Stray,
    }
}
