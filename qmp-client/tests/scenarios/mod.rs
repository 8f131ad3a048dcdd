//! What a server may do to a client, as one table that every front end is run through.
//!
//! A scenario is a script for the server and a check on the client, which mostly asks
//! `query-status` twice: both calls must end right, or with the error that says what happened.
//! Each is played twice, the second time with the bytes one at a time, both ways.

pub mod peer;

pub mod calls;
pub mod damage;
pub mod endings;
pub mod greeting;
pub mod masses;
#[cfg(feature = "qmp")]
pub mod values;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use qmp_client::Dropped;
use qmp_client::{Error, Options, Raw, RawEvent, Request};
use serde_json::Value;

use peer::Peer;

/// Longer than anything that goes well takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than anything that is not to come.
pub const SOON: Duration = Duration::from_millis(60);

/// A way to use the machine: what the scenarios need of a client.
pub trait Front: Sized {
    /// Takes a connected socket; with `drip`, reads and writes one byte at a time.
    fn connect(stream: UnixStream, drip: bool, options: &Options) -> Result<Self, Error>;

    /// Executes a command.
    fn execute<R: Request>(&mut self, request: R, within: Duration) -> Result<R::Return, Error>;

    /// Has several commands in flight at once and gives their results in this order.
    fn execute_all<R: Request>(&mut self, requests: Vec<R>) -> Vec<Result<R::Return, Error>>;

    /// Sends a command, and loses interest when it is on the wire.
    fn cancel<R: Request>(&mut self, request: R);

    /// The next event.
    fn event(&mut self, within: Duration) -> Result<RawEvent, Error>;

    /// What was received and given to nobody.
    fn dropped(&self) -> Dropped;
}

/// Plays a scenario: `script` on the server's side, `check` on the client's.
pub fn play<F: Front>(
    drip: bool,
    options: &Options,
    script: impl FnOnce(&mut Peer) + Send,
    check: impl FnOnce(Result<F, Error>),
) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Peer::play(theirs, script));
        check(F::connect(ours, drip, options));
    });
}

/// [`play`] after greeting and negotiation.
pub fn play_ready<F: Front>(
    drip: bool,
    script: impl FnOnce(&mut Peer) + Send,
    check: impl FnOnce(&mut F),
) {
    let script = |peer: &mut Peer| {
        peer.greet();
        script(peer);
    };
    play::<F>(drip, &Options::new(), script, |client| check(&mut client.unwrap()));
}

/// `query-status`, read as far as the scenarios look.
pub fn status() -> Raw<Value> {
    Raw::new("query-status")
}

/// Asks `query-status` and expects to hear of a running machine.
pub fn expect_running<F: Front>(client: &mut F) {
    let reply = client.execute(status(), PATIENCE);
    assert_eq!(reply.unwrap()["status"], "running");
}

/// Makes a test of each scenario, for one front end.
#[macro_export]
macro_rules! scenarios {
    ($front:ty) => {
        $crate::scenarios! { $front, [false, true];
            greeting {
                event_before_greeting,
                event_before_negotiation_reply,
                silence_before_greeting,
                silence_after_greeting,
                human_monitor,
                another_protocol,
                negotiation_refused,
                end_before_greeting,
                pretty_printed,
                two_objects_on_a_line,
            }
            calls {
                unknown_event,
                unknown_time,
                unknown_members,
                error_without_id,
                unknown_error_class,
                reply_with_foreign_id,
                reply_twice,
                reply_does_not_fit,
                cancelled_then_another,
                cancelled_while_waiting,
                deadline_then_another,
                replies_in_any_order,
            }
            damage {
                garbage_then_good,
                damaged_reply,
                damaged_reply_overtaken,
                truncated_line_then_good,
                invalid_utf8,
                delimiters,
                reply_nested_deep,
                message_nested_deep_in_garbage,
            }
            endings {
                end_instead_of_reply,
                end_in_a_message,
                events_before_the_end,
            }
        }
        #[cfg(feature = "qmp")]
        $crate::scenarios! { $front, [false, true];
            values {
                unknown_value_in_a_reply,
                unknown_value_in_an_event,
                unknown_branch,
                missing_member,
            }
        }
        // One byte at a time, these would take minutes.
        $crate::scenarios! { $front, [false];
            masses {
                huge_reply,
                too_large_reply,
                events_with_nobody_listening,
                peer_that_stops_reading,
            }
        }
    };
    ($front:ty, $drips:expr; $($module:ident { $($name:ident,)* })*) => {$($(
        #[test]
        fn $name() {
            for drip in $drips {
                $crate::scenarios::$module::$name::<$front>(drip);
            }
        }
    )*)*};
}
