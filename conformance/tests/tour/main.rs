//! A tour of QMP on every QEMU: commands with real arguments, and the events that they cause. Every
//! reply and event is checked as in `replies.rs`.

#![cfg(unix)]
#![allow(clippy::panic, clippy::unwrap_used, missing_docs)] // tests
#![allow(deprecated)] // deprecated commands are tested, too

mod block;
mod devices;
mod display;
mod guest;
mod jobs;
mod machine;
mod migration;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use conformance::{Outcome, Tally, qemus};
use stage::Guide;
use support::machines::Inventory;

needs! { qemu,
    fn a_tour_of_commands_and_events() {
        let tallies: Vec<_> = qemus().iter().map(|qemu| {
            let inventory = Inventory::of(qemu).unwrap();
            let server = support::label("QEMU", &inventory.version.qemu);
            let mut tally = Tally::default();
            for stage in [
                machine::tour, devices::tour, display::tour, block::tour, jobs::tour,
                guest::tour, migration::tour,
            ] {
                stage(&mut Guide::new(qemu, &server, &mut tally));
            }
            let done: Vec<&str> = names(&tally, Outcome::Decoded);
            println!("{server}: {} commands: {}", done.len(), done.join(" "));
            let events: Vec<&str> = tally.events.keys().map(String::as_str).collect();
            println!("{server}: {} events: {}", events.len(), events.join(" "));
            assert!(done.len() >= 100 && events.len() >= 20, "{}", tally.line(&server));
            (server, tally)
        }).collect();
        support::conclude(&tallies);
    }
}

fn names(tally: &Tally, outcome: Outcome) -> Vec<&str> {
    let all = tally.commands.iter().filter(|(_, one)| **one == outcome);
    all.map(|(name, _)| name.as_str()).collect()
}
