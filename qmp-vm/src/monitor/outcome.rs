//! The trait that programs see.

use super::session::Session;

/// A client that workflows run on: [`qmp_client::Client`] and `qmp_client::blocking::Client`.
///
/// This trait is sealed, and programs meet it only in signatures: each workflow is written once, and
/// its [`Outcome`](Self::Outcome) depends on the client.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a client of a monitor",
    note = "`qmp_client::Client` is one, and with the feature `blocking` so is \
            `qmp_client::blocking::Client`"
)]
pub trait Monitor: Session {
    /// The outcome of a workflow: `T` itself on the blocking client, and a boxed future of `T` on
    /// the asynchronous one, to be awaited.
    type Outcome<'a, T: Send + 'a>;

    /// Runs a workflow on the blocking client, and boxes it on the asynchronous one.
    #[doc(hidden)]
    fn run<'a, T: Send + 'a>(workflow: impl Future<Output = T> + Send + 'a)
    -> Self::Outcome<'a, T>;
}
