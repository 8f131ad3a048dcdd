//! Machines that move.

use qmp_client::qmp::commands::Migrate;
use qmp_client::qmp::types::{MigrationInfo, MigrationStatus, RunState};
use qmp_client::{Error, WaitedFor};
use qmp_vm::Workflows;
use serde_json::json;

use crate::peer::Peer;
use crate::{PATIENCE, SOON, play, play_blocking};

fn begins(peer: &mut Peer) {
    for command in ["migrate-set-capabilities", "migrate"] {
        let id = peer.expect(command);
        peer.succeed(&id, json!({}));
    }
}

fn is(peer: &mut Peer, command: &str, status: &str) {
    let id = peer.expect(command);
    peer.succeed(&id, json!({"status": status, "running": status == "running"}));
}

fn migrate() -> Migrate {
    Migrate::new().uri("exec:cat")
}

/// Its events tell when to look, and it is looked at even if there are none. When it is over, the
/// machine may be in no state yet that lasts.
#[test]
fn a_migration_is_followed() {
    let script = |peer: &mut Peer| {
        begins(peer);
        for status in ["setup", "active", "completed"] {
            is(peer, "query-migrate", status);
            if status == "setup" {
                peer.send(r#"{"event": "MIGRATION", "data": {"status": "active"}}"#);
            }
        }
        for status in ["finish-migrate", "finish-migrate", "postmigrate"] {
            is(peer, "query-status", status);
        }
        is(peer, "query-status", "postmigrate");
    };
    let check = |info: MigrationInfo, seen: Vec<String>| {
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert_eq!(seen, ["setup", "active", "completed"]);
    };
    let mut seen = Vec::new();
    let see = |info: &MigrationInfo| info.status.clone().unwrap().to_string();
    play(script, async |client| {
        let followed = client.migrate(migrate(), PATIENCE, |info| seen.push(see(info)));
        check(followed.await.unwrap().into_result().unwrap(), std::mem::take(&mut seen));
        assert_eq!(client.settle(PATIENCE).await.unwrap(), RunState::Postmigrate);
    });
    play_blocking(script, |client| {
        let info = client
            .migrate(migrate(), PATIENCE, |info| seen.push(see(info)))
            .unwrap()
            .into_result()
            .unwrap();
        check(info, seen);
        assert_eq!(client.settle(PATIENCE).unwrap(), RunState::Postmigrate);
    });
}

/// What is known of its end is not lost if QEMU ends before it has settled.
#[test]
fn a_source_that_ends_after_its_migration() {
    let script = |peer: &mut Peer| {
        begins(peer);
        is(peer, "query-migrate", "completed");
        peer.expect("query-status");
        peer.hang_up();
    };
    play(script, async |client| {
        let info =
            client.migrate(migrate(), PATIENCE, |_| {}).await.unwrap().into_result().unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert!(client.settle(PATIENCE).await.unwrap_err().is_closed());
    });
    play_blocking(script, |client| {
        let info = client.migrate(migrate(), PATIENCE, |_| {}).unwrap().into_result().unwrap();
        assert_eq!(info.status, Some(MigrationStatus::Completed));
        assert!(client.settle(PATIENCE).unwrap_err().is_closed());
    });
}

#[test]
fn a_migration_that_takes_too_long() {
    let script = |peer: &mut Peer| {
        begins(peer);
        while let id = peer.command()["id"].clone()
            && !id.is_null()
        {
            peer.succeed(&id, json!({"status": "active"}));
        }
    };
    play(script, async |client| {
        let followed = client.migrate(migrate(), SOON, |_| {});
        assert!(followed.await.unwrap_err().is_timeout());
    });
    play_blocking(script, |client| {
        assert!(client.migrate(migrate(), SOON, |_| {}).unwrap_err().is_timeout());
    });
}

/// Nothing comes: the destination is not waited for for ever.
#[test]
fn a_machine_that_does_not_settle() {
    let script = |peer: &mut Peer| {
        while let id = peer.command()["id"].clone()
            && !id.is_null()
        {
            peer.succeed(&id, json!({"status": "inmigrate", "running": false}));
        }
    };
    let check = |error: Error| {
        let Error::Timeout(timeout) = error else { panic!("{error:?}") };
        println!("{timeout}");
        assert_eq!(
            (&timeout.waited_for, timeout.within),
            (&WaitedFor::State("the run state to settle".into()), SOON)
        );
    };
    play(script, async |client| check(client.settle(SOON).await.unwrap_err()));
    play_blocking(script, |client| check(client.settle(SOON).unwrap_err()));
}
