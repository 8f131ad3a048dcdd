//! The format of recordings: what is written, what is read, and hostile files.

#![allow(clippy::unwrap_used, missing_docs)] // tests

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use qmp_types::recording::{Content, Direction, Entry, Reader, Recorder, RecordingError};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn read(text: &str) -> Result<Vec<Entry>, RecordingError> {
    Reader::new(text.as_bytes())?.collect()
}

#[test]
fn a_recording_has_a_header_and_a_line_for_each_message() {
    let buffer = Buffer::default();
    let recorder = Recorder::new(buffer.clone(), "vm\u{9b}").made_by("test 1");
    let greeting = r#"{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}, "package": "p"}, "capabilities": []}}"#;
    recorder.message(Direction::Received, greeting, 0);
    recorder.message(
        Direction::Sent,
        "{'execute': 'getfd',\r\n\t'x': \"\u{7f}\u{202e}\u{e0041}\"}",
        3,
    );
    recorder.message(Direction::Received, "[1]\u{1b}", 0);
    recorder.finish().unwrap();
    let text = buffer.text();
    assert!(!text.contains(|c: char| c != '\n' && qmp_types::Printable::escapes(c)), "{text:?}");
    assert!(
        text.starts_with("{\"qmp-recording\": 1, \"by\": \"test 1\", \"started\": {"),
        "{text}"
    );

    let mut reader = Reader::new(text.as_bytes()).unwrap();
    let header = reader.header().unwrap();
    assert_eq!((header.version, &*header.by), (1, "test 1"));
    assert_eq!(header.qemu.as_ref().unwrap().qemu.to_string(), "10.0.2");
    let entries: Vec<Entry> = reader.by_ref().map(Result::unwrap).collect();
    assert!(!reader.is_torn());
    let [first, second, third] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((first.line, first.direction, first.fds), (2, Direction::Received, 0));
    assert_eq!((&*second.monitor, second.direction, second.fds), ("vm\u{9b}", Direction::Sent, 3));
    assert!(first.time <= second.time && second.time <= third.time);
    let Content::Message(message) = &second.content else { panic!("{second:?}") };
    let message: serde_json::Value = serde_json::from_str(message.get()).unwrap();
    assert_eq!(message, serde_json::json!({"execute": "getfd", "x": "\u{7f}\u{202e}\u{e0041}"}));
    assert!(matches!(&third.content, Content::Text(text) if text == "[1]\u{1b}"));
}

#[cfg(feature = "qmp")]
#[test]
fn no_secret_is_in_a_recording() {
    let buffer = Buffer::default();
    let recorder = Recorder::new(buffer.clone(), "vm");
    let other = recorder.monitor("other");
    for (sent, received) in [
        (
            "{'execute': 'object-add', 'arguments': {'qom-type': 'secret', 'id': 's', 'data': 'hunter2'}}",
            "{}",
        ),
        (
            "{'execute': 'qom-get', 'arguments': {'path': '/objects/s', 'property': 'data'}}",
            "\"hunter2\"",
        ),
        (
            "{'execute': 'human-monitor-command', 'arguments': {'command-line': 'set_password vnc hunter2'}}",
            "\"hunter2 is bad\"",
        ),
        ("{'execute': 'set_password', 'arguments': {'password': 'hunter2'", "{}"),
    ] {
        for recorder in [&recorder, &other] {
            recorder.message(Direction::Sent, sent, 0);
        }
        for recorder in [&other, &recorder] {
            recorder.message(Direction::Received, &format!("{{\"return\": {received}}}"), 0);
        }
    }
    let text = buffer.text();
    assert!(!text.contains("hunter2"), "{text}");
    assert_eq!(text.lines().count(), 1 + 4 * 4);
    assert!(text.contains("set_password <secret>"), "{text}");
}

#[test]
fn a_recorder_that_was_killed_leaves_a_recording() {
    let buffer = Buffer::default();
    let recorder = Recorder::new(buffer.clone(), "vm");
    recorder.message(Direction::Sent, "{\"execute\": \"x\"}", 0);
    recorder.message(Direction::Received, "{\"return\": \"\u{e9}\"}", 0);
    let text = buffer.text();
    let header = text.find('\n').unwrap() + 1;
    let first = header + text[header..].find('\n').unwrap() + 1;
    for end in header..text.len() {
        let mut reader = Reader::new(&text.as_bytes()[..end]).unwrap();
        let entries: Vec<Entry> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(
            entries.len(),
            usize::from(end >= first - 1) + usize::from(end >= text.len() - 1),
            "{end}"
        );
        let is_whole = [header, first - 1, first, text.len() - 1].contains(&end);
        assert_eq!(reader.is_torn(), !is_whole, "{end}");
    }
}

#[test]
fn lines_that_are_invalid_are_named() {
    let header = "{\"qmp-recording\": 1}\n";
    for (text, expected) in [
        ("\n{\n", "line 2 of the recording is invalid: EOF while parsing an object at column"),
        ("[]\n", "line 1"),
        ("{\"qmp-recording\": 2}\n", "version is 2, and only versions up to 1 are supported"),
        ("{\"qmp-recording\": []}\n", "not a version"),
        ("{\"direction\": \"up\", \"message\": {}}\n", "neither `sent` nor `received`"),
        ("{\"direction\": \"sent\"}\n", "`message` is missing"),
        ("{\"direction\": \"sent\", \"message\": []}\n", "`message` is not an object"),
        ("{\"direction\": \"sent\", \"text\": 1}\n", "`text` is not a string"),
        (
            "{\"time\": 0.5, \"direction\": \"sent\", \"text\": \"\"}\n",
            "not a number of microseconds",
        ),
        (
            "{\"fds\": -1, \"direction\": \"sent\", \"text\": \"\"}\n",
            "not a number of file descriptors",
        ),
        ("{\"\u{1b}\": x}\n", "line 1"),
        (
            &format!("{header}{header}"),
            "line 2 of the recording is invalid: the header is not the first",
        ),
        (&format!("{header}\n{{}}\n"), "line 3"),
        // Without a header, nothing tells that a recorder was killed.
        ("{\"direction\": \"sent\"", "line 1"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(format!("{error:?}"), format!("RecordingError({error})"));
        let error = error.to_string();
        assert!(error.contains(expected) && !error.contains('\u{1b}'), "{text}: {error}");
    }
    let mut reader = Reader::new(&b"{\"qmp-recording\": 1}\n\xff\n{}\n"[..]).unwrap();
    assert!(reader.next().unwrap().unwrap_err().to_string().contains("line 2"));
    assert!(reader.next().is_none(), "an error ends the recording");
}

/// A line without end must not fill the memory.
#[test]
fn a_line_has_a_limit() {
    let endless = io::BufReader::new(io::repeat(b'[').take(1 << 30));
    let error = Reader::new(endless).unwrap_err();
    assert!(error.to_string().contains("longer than 134217728 bytes"), "{error}");
}
