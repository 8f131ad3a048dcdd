//! The lower bounds of an event that becomes a value: one pass over its text, or two, and two strings.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::Anything;
use crate::entry::Task;
use crate::measure::Meter;

/// The parts of an event that are kept: its numbers, its name, and one other string.
type Event = ([u64; 8], String, String);

/// Reads events. Nothing else can arrive, nothing is checked, and no member has a name.
pub fn flood(task: &Task<'_>) -> Anything<f64> {
    each_piece(task, |piece, left| {
        let mut at = 0;
        Ok((take(piece, left, &mut at), at))
    })
}

/// Does the same for a client whose tasks decode what another one has read: that one checks that each
/// event is text in which every bracket and string ends, since a reply may follow, and keeps it.
pub fn queued(task: &Task<'_>) -> Anything<f64> {
    let mut queue = String::new();
    each_piece(task, |piece, left| {
        let mut at = 0;
        queue.clear();
        // A character may be cut in two at the end.
        let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let text = std::str::from_utf8(&piece[..whole])?;
        while let Some(length) = end(&piece[at..whole]) {
            queue.push_str(&text[at..at + length]);
            at += length;
        }
        Ok((take(queue.as_bytes(), left, &mut 0), at))
    })
}

/// Takes at most `left` events, and returns how many there were.
fn take(bytes: &[u8], left: usize, at: &mut usize) -> usize {
    let mut events = 0;
    while events < left {
        let Some((event, length)) = read(&bytes[*at..]) else { break };
        let (numbers, name, device) = std::hint::black_box(event);
        assert!(numbers[0] > 0 && name.len() > device.len());
        *at += length;
        events += 1;
    }
    events
}

/// Returns the length of the line that the object at the beginning is on.
fn end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0);
    loop {
        match *bytes.get(at)? {
            b'"' => at += 1 + bytes[at + 1..].iter().position(|byte| *byte == b'"')?,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'\n' if depth == 0 => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
}

/// Asks for events, and passes on what arrives, with the number of events that are still expected.
/// `pass` returns how many there were, and the length of what it has taken.
fn each_piece(
    task: &Task<'_>,
    mut pass: impl FnMut(&[u8], usize) -> Anything<(usize, usize)>,
) -> Anything<f64> {
    let count = task.count;
    let mut stream = UnixStream::connect(task.path)?;
    let mut buffer = vec![0; 64 * 1024];
    stream.read(&mut buffer)?;
    stream.write_all(b"{\"execute\":\"qmp_capabilities\"}\n")?;
    stream.read(&mut buffer)?;
    let meter = Meter::start();
    stream.write_all(b"{\"execute\":\"system_wakeup\"}\n")?;
    let (mut events, mut end) = (0, 0);
    while events < count {
        end += stream.read(&mut buffer[end..])?;
        let (more, at) = pass(&buffer[..end], count - events)?;
        events += more;
        buffer.copy_within(at..end, 0);
        end -= at;
    }
    Ok(meter.each(count))
}

/// Reads the event that ends at the first newline, byte by byte, and returns it with its length.
fn read(bytes: &[u8]) -> Option<(Event, usize)> {
    let (mut numbers, mut strings) = ([0_u64; 8], [(0, 0); 16]);
    let (mut number, mut string) = (0, 0);
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            b'"' => {
                let start = at + 1;
                at = start + bytes[start..].iter().position(|byte| *byte == b'"')?;
                strings[string % 16] = (start, at);
                string += 1;
            }
            digit @ b'0'..=b'9' => {
                let value = &mut numbers[number % 8];
                *value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            }
            b',' => number += 1,
            b'\n' => break,
            _ => {}
        }
        at += 1;
    }
    let text = |(start, end): (usize, usize)| String::from_utf8_lossy(&bytes[start..end]).into();
    Some(((numbers, text(strings[4]), text(strings[9])), at + 1))
}
