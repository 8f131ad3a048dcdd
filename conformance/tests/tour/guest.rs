//! Actions of a guest, simulated by writing to I/O ports with the qtest protocol.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{GuestCrashloaded, GuestPanicked, Watchdog};
use qmp_client::qmp::types::{GuestPanicAction, PanicAction, RunState, WatchdogAction};

use crate::stage::{Guide, scratch};

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
    // Enables a watchdog that expires within two seconds.
    write(0x443, 0xe);
    let expired = tour.event(|_: &Watchdog| true);
    assert_eq!(expired.action, WatchdogAction::None);
    // Reports that the guest has loaded a crash kernel, and then that it has panicked.
    write(0x505, 2);
    tour.event(|_: &GuestCrashloaded| true);
    write(0x505, 1);
    let panicked = tour.event(|_: &GuestPanicked| true);
    assert_eq!(panicked.action, GuestPanicAction::Pause);
    assert_eq!(tour.run(QueryStatus::new()).unwrap().status, RunState::GuestPanicked);
}
