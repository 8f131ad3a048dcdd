//! The conditions that a thread waits for.

use qmp_protocol::{CallId, Direct, Input};
use serde_json::value::RawValue;

use super::state::State;
use crate::error::Result;
use crate::inbox::SubscriptionId;
use crate::queue::{EventCapacity, Tally};

/// The object of a wait. A thread takes what concerns it while it holds the lock, and examines it
/// after the lock is released, since that may run the caller's code. It keeps what it finds: the functions
/// that wait do not know its type, so that a program contains them once, and not for each type of reply.
pub(super) trait Wait {
    /// Takes what concerns this wait, and returns whether there is anything to examine.
    fn collect(&mut self, state: &mut State) -> bool;

    /// Examines what has been taken, and returns whether it is what the wait is for.
    fn examine(&mut self) -> bool;

    /// Returns whether the reply to this call is waited for, to be decoded in place.
    fn is_for(&self, _: CallId) -> bool {
        false
    }

    /// Takes that reply. No lock is held, but no other thread can read meanwhile.
    fn receive(&mut self, _: Result<&RawValue>) {}

    /// Returns the subscription whose events this wait can take from the input.
    fn subscription(&self) -> Option<SubscriptionId> {
        None
    }

    /// Takes events from the input, as many as a queue of this capacity would hold, and counts them. No
    /// lock is held, but no other thread can read meanwhile.
    fn take_events(&mut self, _: &mut Input, _: Direct, _: EventCapacity, _: &mut Tally) {}

    /// Returns the call whose reply may be decoded before the connection has seen it.
    fn early(&self) -> Option<CallId> {
        None
    }

    /// Decodes that reply, if it is all that has arrived, as if it were [received](Self::receive), and
    /// returns whether it is. The connection decides whether the reply is taken. No lock is held, but no
    /// other thread can read meanwhile.
    fn decode_early(&mut self, _: &Input) -> bool {
        false
    }

    /// Forgets that reply, which takes the slow path. No lock is held: it is the caller's value.
    fn forget_early(&mut self) {}

    /// Returns whether only a reply is waited for, which is mostly quick.
    fn is_quick(&self) -> bool {
        false
    }
}

/// A wait until a function returns true.
pub(super) struct Until<F>(pub(super) F);

impl<F: FnMut(&mut State) -> bool> Wait for Until<F> {
    fn collect(&mut self, state: &mut State) -> bool {
        (self.0)(state)
    }

    fn examine(&mut self) -> bool {
        true
    }
}
