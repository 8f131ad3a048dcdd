//! The lower bound of an event that becomes a value: one pass over its text, and two strings.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::Anything;
use crate::jobs::Task;
use crate::measure::Meter;

/// The parts of an event that are kept: its numbers, its name, and one other string.
type Event = ([u64; 8], String, String);

/// Reads events. Nothing else can arrive, nothing is checked, and no member has a name.
pub fn flood(task: &Task<'_>) -> Anything<f64> {
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
        let mut at = 0;
        while let Some((event, length)) = read(&buffer[at..end]) {
            let (numbers, name, device) = std::hint::black_box(event);
            assert!(numbers[0] > 0 && name.len() > device.len());
            at += length;
            events += 1;
            if events == count {
                break;
            }
        }
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
