//! Feeds bytes from a server or a guest agent to the client, in pieces and between calls. Each call
//! must complete exactly once.

#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use qmp_client::End;
use qmp_client::machine::{CallId, Deadline, Incoming, Kind, Machine, Settings, Submission};

/// The maximum message size in bytes. It is small so that inputs can exceed it.
const MESSAGE_SIZE: usize = 4096;

fuzz_target!(|pieces: (bool, Vec<(u8, Vec<u8>)>)| {
    let (agent, pieces) = pieces;
    let mut settings = if agent { Settings::agent() } else { Settings::default() };
    settings.message_size = MESSAGE_SIZE;
    settings.depth = 32;
    let start = Instant::now();
    let mut now = start;
    let mut machine = Machine::new(settings, Deadline::after(now, Duration::from_secs(60)));
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
                pending.extend(machine.submit(command));
            }
            2 => {
                if let Some(id) = pending.pop() {
                    machine.abandon(id, now);
                }
            }
            3 => machine.expire(now),
            4 => {
                let count = machine.output().len();
                machine.sent(count.min(usize::from(action)));
            }
            5 => machine.release(0),
            _ => {}
        }
        machine.receive(&bytes);
        drain(&mut machine, &mut completed);
        if let Some(at) = machine.deadline() {
            assert!(at >= start);
        }
    }
    machine.end(End::Eof);
    drain(&mut machine, &mut completed);
    for id in pending {
        assert!(completed.contains(&id), "call {id} has not completed");
        assert!(!machine.is_pending(id));
    }
});

fn drain(machine: &mut Machine, completed: &mut HashSet<CallId>) {
    machine.drain(&mut |incoming| {
        if let Incoming::Reply { id, .. } = incoming {
            assert!(completed.insert(id), "call {id} has completed twice");
        }
    });
}
