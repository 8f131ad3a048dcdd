//! Feeds bytes from a server or a guest agent to the protocol, in pieces and between calls. Each call
//! must complete exactly once.

#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use qmp_protocol::{
    CallId, Connection, Deadline, End, Incoming, Input, Kind, Settings, Submission,
};

/// The maximum message size in bytes. It is small so that inputs can exceed it.
const MESSAGE_SIZE: usize = 4096;

fuzz_target!(|pieces: (bool, Vec<(u8, Vec<u8>)>)| {
    let (agent, pieces) = pieces;
    let mut settings = if agent { Settings::agent() } else { Settings::default() };
    settings.message_size = MESSAGE_SIZE;
    settings.depth = 32;
    let start = Instant::now();
    let mut now = start;
    let greeting = Deadline::after(now, Duration::from_secs(60));
    let mut connection = Connection::new(settings, greeting);
    let mut input = connection.new_input();
    let (mut pending, mut completed) = (Vec::new(), HashSet::new());
    for (action, bytes) in pieces {
        now += Duration::from_secs(1);
        match action % 8 {
            0 | 1 => {
                let mut command = Submission::new("query-status");
                command.deadline = Deadline::after(now, Duration::from_secs(u64::from(action)));
                command.success_response = action & 16 == 0;
                if action & 8 != 0 {
                    command.kind = Kind::OutOfBand;
                }
                pending.extend(connection.submit(command));
            }
            2 => {
                if let Some(id) = pending.pop() {
                    connection.abandon(id, now);
                }
            }
            3 => connection.expire(now),
            4 => {
                let count = connection.output().len();
                connection.sent(count.min(usize::from(action)));
            }
            5 => {
                connection.release(0);
                input.release(0);
            }
            6 => connection.send_now(|_| true),
            _ => {}
        }
        input.push(&bytes);
        drain(&mut connection, &mut input, &mut completed);
        if let Some(at) = connection.deadline() {
            assert!(at >= start);
        }
    }
    connection.end(End::Eof);
    drain(&mut connection, &mut input, &mut completed);
    for id in pending {
        assert!(completed.contains(&id), "call {id} has not completed");
        assert!(!connection.is_pending(id));
    }
});

fn drain(connection: &mut Connection, input: &mut Input, completed: &mut HashSet<CallId>) {
    while let Some(incoming) = connection.next(input) {
        if let Incoming::Reply { id, .. } = incoming {
            assert!(completed.insert(id), "call {id} has completed twice");
        }
    }
}
