//! The needs of supervision, beside those of the workflows.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qmp_client::{Options, Result};

use super::shared::{Shared, State};
use crate::monitor::Monitor;

/// A client that can be supervised: both are.
///
/// This trait is sealed.
pub trait Supervisable: Monitor {
    /// Where the monitor is reached.
    type Source: Send;
    /// The driver of a connection, which does its I/O.
    #[doc(hidden)]
    type Io: Send;

    /// Connects once, and negotiates. A source that waits to be connected to waits until `give_up`.
    #[doc(hidden)]
    fn open(
        shared: &Arc<Shared<Self>>,
        source: &mut Self::Source,
        options: &Options,
        limits: Limits,
    ) -> impl Future<Output = Result<Opening<Self>>> + Send;

    /// Waits for a future, and does the I/O of a connection meanwhile.
    #[doc(hidden)]
    fn beside<T: Send>(
        io: &mut Self::Io,
        future: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send;

    /// Does the I/O of a connection until it has ended.
    #[doc(hidden)]
    fn serve(client: &Self, io: Self::Io) -> impl Future<Output = qmp_client::Closed> + Send;

    /// Closes a connection.
    #[doc(hidden)]
    fn close(client: &Self);

    /// Returns the version of the server.
    #[doc(hidden)]
    fn server_version(client: &Self) -> String;

    /// Waits until `look` finds something in the state, or until the deadline.
    #[doc(hidden)]
    fn wait<T: Send>(
        shared: &Shared<Self>,
        deadline: Option<Instant>,
        look: impl FnMut(&mut State<Self>) -> Option<T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
}

/// The limits of an attempt to connect.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest attempt.
    pub(super) within: Duration,
    /// When the supervision gives up.
    pub(super) give_up: Option<Instant>,
}

/// A connection that has just been made.
pub struct Opening<C: Supervisable> {
    pub(super) client: C,
    pub(super) io: C::Io,
    /// The process at the other end.
    pub(super) peer: Option<u32>,
}

impl<C: Supervisable> fmt::Debug for Opening<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("client", &self.client).finish_non_exhaustive()
    }
}
