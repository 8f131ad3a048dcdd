//! How VMs end.

use std::time::Instant;

use qmp_client::qmp::types::ShutdownCause::{self, GuestShutdown, HostQmpQuit, HostSignal};
use qmp_client::{Error, Options, Raw};
use qmp_server::Simulator;
use qmp_vm::{EndedBy, ShutDown, Workflows};
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::{
    PATIENCE, SOON, connect, connect_blocking, one_thread, play, play_blocking, play_with,
};

/// Answers `query-status` with this state.
fn is(peer: &mut Peer, status: &str) {
    let id = peer.expect("query-status");
    peer.succeed(&id, json!({"status": status, "running": status == "running"}));
}

fn obeys(peer: &mut Peer, command: &str) {
    let id = peer.expect(command);
    peer.succeed(&id, json!({}));
}

fn ends(peer: &mut Peer, by_guest: bool, reason: &str) {
    let data = json!({"guest": by_guest, "reason": reason});
    peer.send(&json!({"event": "SHUTDOWN", "data": data}).to_string());
}

/// Accepts `quit`, reports the shutdown, and ends.
fn quits(peer: &mut Peer) {
    obeys(peer, "quit");
    ends(peer, false, "host-qmp-quit");
    peer.hang_up();
}

/// A script of the server, whether the client is patient, and the expected outcome.
type Ending = (fn(&mut Peer), bool, EndedBy, Option<ShutdownCause>);

const ENDINGS: [Ending; 13] = [
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            // With `-no-shutdown`, QEMU is still running.
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // The event arrives before the reply, and then QEMU exits.
    (
        |peer| {
            is(peer, "running");
            let id = peer.expect("system_powerdown");
            ends(peer, true, "guest-shutdown");
            peer.succeed(&id, json!({}));
            peer.hang_up();
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // A guest that is paused does not notice its power button.
    (
        |peer| {
            is(peer, "paused");
            obeys(peer, "cont");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // A suspended guest does not notice it either, and `cont` does not wake the guest.
    (
        |peer| {
            is(peer, "suspended");
            obeys(peer, "system_wakeup");
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // A guest that cannot be resumed cannot be asked.
    (
        |peer| {
            is(peer, "paused");
            let id = peer.expect("cont");
            let error = json!({"class": "GenericError", "desc": "no"});
            peer.send(&json!({"error": error, "id": id}).to_string());
            quits(peer);
        },
        true,
        EndedBy::Quit,
        Some(HostQmpQuit),
    ),
    // The guest is off already.
    (
        |peer| {
            is(peer, "shutdown");
            quits(peer);
        },
        true,
        EndedBy::Guest,
        None,
    ),
    // Another client ends QEMU first.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            ends(peer, false, "host-qmp-quit");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        Some(HostQmpQuit),
    ),
    // QEMU ends without an event: while the guest is waited for, and before it is asked.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        None,
    ),
    (
        |peer| {
            peer.expect("query-status");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        None,
    ),
    // The guest does not react. An event from before the request is not its reaction.
    (
        |peer| {
            ends(peer, true, "guest-shutdown");
            is(peer, "running");
            obeys(peer, "system_powerdown");
            quits(peer);
        },
        false,
        EndedBy::Quit,
        Some(HostQmpQuit),
    ),
    // The guest reacts, a moment too late.
    (
        |peer| {
            is(peer, "running");
            obeys(peer, "system_powerdown");
            peer.expect("quit");
            ends(peer, true, "guest-shutdown");
            peer.hang_up();
        },
        false,
        EndedBy::Guest,
        Some(GuestShutdown),
    ),
    // `quit` is not answered; then, a signal arrives first.
    (
        |peer| {
            is(peer, "prelaunch");
            peer.expect("quit");
            peer.hang_up();
        },
        true,
        EndedBy::Quit,
        None,
    ),
    (
        |peer| {
            is(peer, "guest-panicked");
            peer.expect("quit");
            ends(peer, false, "host-signal");
            peer.hang_up();
        },
        true,
        EndedBy::Other,
        Some(HostSignal),
    ),
];

#[test]
fn the_outcome_names_party_and_reason() {
    for (number, (script, patient, by, reason)) in ENDINGS.into_iter().enumerate() {
        let patience = if patient { PATIENCE } else { SOON };
        let check = |how: ShutDown| {
            assert_eq!((how.by, &how.reason), (by, &reason), "script {number}");
            assert_eq!(how.by_guest(), by == EndedBy::Guest);
        };
        let begin = Instant::now();
        play(script, async |client| check(client.shut_down(patience).await.unwrap()));
        play_blocking(script, |client| check(client.shut_down(patience).unwrap()));
        // No deadline had to pass.
        assert!(begin.elapsed() < PATIENCE, "script {number}");
    }
}

/// The connection has ended for a reason of its own, and QEMU lives: a manager that took this for
/// success would start a second machine on the same disk.
#[test]
fn the_end_of_a_connection_is_not_that_of_qemu() {
    let options = Options::new().message_size(1000);
    let check = |error: Error| {
        assert!(error.is_closed(), "{error:?}");
        let report = error.report();
        assert!(report.contains("1000") && report.contains("option `message_size`"), "{report}");
    };
    let too_large = || Raw::<Value>::new("large");
    // Before the command, and while it is waited for.
    let before = |peer: &mut Peer| {
        let id = peer.expect("large");
        peer.succeed(&id, "x".repeat(2000).into());
    };
    let closed = |error: Error| assert!(error.is_closed(), "{error:?}");
    play_with(
        &options,
        before,
        async |client| {
            client.execute(too_large()).await.unwrap_err();
            check(client.quit().await.unwrap_err());
            check(client.quit_within(PATIENCE).await.unwrap_err());
            check(client.shut_down(PATIENCE).await.unwrap_err());
            client.close();
            closed(client.quit().await.unwrap_err());
            closed(client.shut_down(PATIENCE).await.unwrap_err());
        },
        |client| {
            client.execute(too_large()).unwrap_err();
            check(client.quit().unwrap_err());
            check(client.quit_within(PATIENCE).unwrap_err());
            check(client.shut_down(PATIENCE).unwrap_err());
            client.close();
            closed(client.quit().unwrap_err());
            closed(client.shut_down(PATIENCE).unwrap_err());
        },
    );
    let meanwhile = |peer: &mut Peer| {
        let id = peer.expect("quit");
        peer.succeed(&id, "x".repeat(2000).into());
    };
    play_with(
        &options,
        meanwhile,
        async |client| check(client.quit().await.unwrap_err()),
        |client| check(client.quit().unwrap_err()),
    );
    let meanwhile = |peer: &mut Peer| {
        is(peer, "prelaunch");
        meanwhile(peer);
    };
    play_with(
        &options,
        meanwhile,
        async |client| check(client.shut_down(PATIENCE).await.unwrap_err()),
        |client| check(client.shut_down(PATIENCE).unwrap_err()),
    );
}

/// In these states, no guest can react: the power button is not pressed, and QEMU ends at once.
#[test]
fn a_guest_that_cannot_react_is_not_asked() {
    for state in [
        "prelaunch",
        "inmigrate",
        "postmigrate",
        "finish-migrate",
        "internal-error",
        "guest-panicked",
        "watchdog",
        "save-vm",
        "restore-vm",
    ] {
        let script = |peer: &mut Peer| {
            is(peer, state);
            quits(peer);
        };
        play(script, async |client| {
            let how = client.shut_down(PATIENCE).await.unwrap();
            assert_eq!(how.by, EndedBy::Quit, "{state}");
        });
        play_blocking(script, |client| {
            assert_eq!(client.shut_down(PATIENCE).unwrap().by, EndedBy::Quit, "{state}");
        });
    }
}

/// A guest that is stopped is resumed. A guest in a state that is unknown to this client may run.
#[test]
fn a_guest_that_is_stopped_is_resumed_to_shut_down() {
    for (state, is_resumed) in
        [("paused", true), ("io-error", true), ("debug", true), ("colo", false), ("newer", false)]
    {
        let script = |peer: &mut Peer| {
            is(peer, state);
            if is_resumed {
                obeys(peer, "cont");
            }
            obeys(peer, "system_powerdown");
            ends(peer, true, "guest-shutdown");
            quits(peer);
        };
        play(script, async |client| {
            assert!(client.shut_down(PATIENCE).await.unwrap().by_guest(), "{state}");
        });
        play_blocking(script, |client| {
            assert!(client.shut_down(PATIENCE).unwrap().by_guest(), "{state}");
        });
    }
}

/// Everything before the event shares one deadline, and `quit` has the same time again.
#[test]
fn a_vm_that_hangs_costs_twice_the_deadline() {
    for answers in 0..3 {
        let script = move |peer: &mut Peer| {
            let names = ["query-status", "cont", "system_powerdown"];
            for name in names.into_iter().take(answers) {
                let id = peer.expect(name);
                peer.succeed(&id, json!({"status": "paused", "running": false}));
            }
        };
        let begin = Instant::now();
        play(script, async |client| {
            assert!(client.shut_down(SOON).await.unwrap_err().is_timeout());
        });
        play_blocking(script, |client| {
            assert!(client.shut_down(SOON).unwrap_err().is_timeout());
        });
        let least = 4 * SOON;
        assert!((least..least + PATIENCE / 2).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }
}

/// A guest that reacts to its power button, and one that does not.
#[test]
fn a_simulated_machine_is_shut_down() {
    for (obeys, stays, by) in
        [(true, false, EndedBy::Guest), (true, true, EndedBy::Guest), (false, false, EndedBy::Quit)]
    {
        let machine = || {
            Simulator::builder().guest_obeys_powerdown(obeys).stays_after_shutdown(stays).build()
        };
        let patience = if obeys { PATIENCE } else { SOON };
        let reason = if obeys { GuestShutdown } else { HostQmpQuit };

        let simulator = machine();
        let stream = simulator.connect().unwrap();
        one_thread().block_on(async {
            let client = connect(stream, &Options::new()).await;
            let how = client.shut_down(patience).await.unwrap();
            assert_eq!((how.by, how.reason.as_ref()), (by, Some(&reason)));
            assert!(client.ended().is_some());
        });
        let simulator = machine();
        let client = connect_blocking(simulator.connect().unwrap(), &Options::new());
        client.execute(qmp_client::qmp::commands::Stop::new()).unwrap();
        let how = client.shut_down(patience).unwrap();
        assert_eq!((how.by, how.reason), (by, Some(reason)));
        assert!(client.ended().is_some());
    }
}
