//! Screen, keyboard, pointer and VNC.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{VncConnected, VncDisconnected, VncInitialized};
use qmp_client::qmp::types::{
    ExpirePasswordOptions, ExpirePasswordOptionsVnc, InputAxis, InputEvent, InputKeyEvent,
    InputKeyEventWrapper, InputMoveEvent, InputMoveEventWrapper, IntWrapper, KeyValue, QKeyCode,
    QKeyCodeWrapper, SetPasswordOptions, SetPasswordOptionsVnc,
};

use crate::stage::{Guide, Tour, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let scratch = scratch();
    let socket = scratch.file("vnc");
    let open = format!("unix:{socket},id=open");
    let locked = format!("unix:{socket}2,password=on,id=default");
    let options = "-M pc,accel=tcg -m 32 -device VGA,id=vga0,romfile= -device usb-ehci \
                   -device usb-tablet";
    let mut tour = guide.start(options, &["-vnc", &locked, "-vnc", &open]);
    tour.run(Cont::new());
    input(&mut tour);
    tour.run(Screendump::new(scratch.file("screen")).device("vga0"));
    assert!(std::fs::read(scratch.file("screen")).unwrap().starts_with(b"P6"));
    vnc(&mut tour, &socket);
}

fn input(tour: &mut Tour<'_>) {
    let key = || KeyValue::Qcode(QKeyCodeWrapper::new(QKeyCode::A));
    tour.run(SendKey::new(vec![key(), KeyValue::Number(IntWrapper::new(30))]).hold_time(1));
    let down = |down| InputEvent::Key(InputKeyEventWrapper::new(InputKeyEvent::new(key(), down)));
    let to = InputEvent::Abs(InputMoveEventWrapper::new(InputMoveEvent::new(InputAxis::X, 100)));
    tour.run(InputSendEvent::new(vec![down(true), down(false), to]));
    tour.run(QueryMice::new());
    tour.run(QueryDisplayOptions::new());
}

fn vnc(tour: &mut Tour<'_>, socket: &str) {
    let mut viewer = UnixStream::connect(socket).unwrap();
    viewer.set_read_timeout(Some(conformance::TIMEOUT)).unwrap();
    shake_hands(&mut viewer);
    tour.event(|_: &VncConnected| true);
    tour.event(|_: &VncInitialized| true);
    tour.run(QueryVnc::new());
    let servers = tour.run(QueryVncServers::new()).unwrap();
    assert_eq!(servers.iter().map(|server| server.clients.len()).sum::<usize>(), 1);
    drop(viewer);
    tour.event(|_: &VncDisconnected| true);
    tour.attempt(SetPassword::new(SetPasswordOptions::new(
        SetPasswordOptionsVnc::new(),
        "letmein1",
    )));
    tour.attempt(ChangeVncPassword::new("letmein2"));
    tour.attempt(ExpirePassword::new(ExpirePasswordOptions::new(
        ExpirePasswordOptionsVnc::new(),
        "never",
    )));
}

/// Performs the handshake of RFB 3.8 without authentication.
fn shake_hands(viewer: &mut UnixStream) {
    let read = |viewer: &mut UnixStream, count: usize| {
        let mut bytes = vec![0; count];
        viewer.read_exact(&mut bytes).unwrap();
        bytes
    };
    read(viewer, 12);
    viewer.write_all(b"RFB 003.008\n").unwrap();
    let kinds = read(viewer, 1)[0];
    read(viewer, usize::from(kinds));
    viewer.write_all(&[1]).unwrap();
    assert_eq!(read(viewer, 4), [0; 4]);
    viewer.write_all(&[1]).unwrap();
    read(viewer, 24);
}
