//! What a guest does, done in its place through the test protocol.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{GuestCrashloaded, GuestPanicked, Watchdog};
use qmp_client::qmp::types::{GuestPanicAction, PanicAction, RunState, WatchdogAction};

use crate::{Guide, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let scratch = scratch();
    let qtest = format!("unix:{},server=on,wait=off", scratch.file("qtest"));
    let options = "-M pc,accel=tcg -m 32 -device ib700 -device pvpanic -qtest-log none";
    let mut tour = guide.start(options, &["-qtest", &qtest]);
    tour.run(WatchdogSetAction::new(WatchdogAction::None));
    tour.run(SetAction::new().panic(PanicAction::Pause));
    tour.run(Cont::new());
    let mut guest = BufReader::new(UnixStream::connect(scratch.file("qtest")).unwrap());
    let mut write = |port: u16, value: u8| {
        writeln!(guest.get_mut(), "outb {port:#x} {value:#x}").unwrap();
        let mut answer = String::new();
        guest.read_line(&mut answer).unwrap();
        assert!(answer.starts_with("OK"), "{answer}");
    };
    // A watchdog that is not fed for two seconds at most.
    write(0x443, 0xe);
    let barked = tour.event(|_: &Watchdog| true);
    assert_eq!(barked.action, WatchdogAction::None);
    // The kernel crashed and goes on with another one; then it panics.
    write(0x505, 2);
    tour.event(|_: &GuestCrashloaded| true);
    write(0x505, 1);
    let panicked = tour.event(|_: &GuestPanicked| true);
    assert_eq!(panicked.action, GuestPanicAction::Pause);
    assert_eq!(tour.run(QueryStatus::new()).unwrap().status, RunState::GuestPanicked);
}
