//! The end of a proxy.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use qmp_client::End;

/// The reason why a proxy has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ProxyEnd {
    /// The last [`Proxy`](super::Proxy) handle was dropped, or [`Proxy::stop`](super::Proxy::stop) was
    /// called.
    Stopped,
    /// QEMU has closed the connection after a client's `quit`.
    Quit,
    /// The connection to QEMU has ended otherwise.
    Upstream(Arc<End>),
    /// A function of the program, such as a filter of [events](super::Access::events), has panicked on
    /// the proxy's thread.
    Panicked,
}

impl fmt::Display for ProxyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the proxy was stopped"),
            Self::Quit => f.write_str("a client has executed `quit`"),
            Self::Upstream(_) => f.write_str("the connection to the monitor has ended"),
            Self::Panicked => f.write_str("a function on the proxy's thread has panicked"),
        }
    }
}

impl StdError for ProxyEnd {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Upstream(end) => Some(&**end),
            _ => None,
        }
    }
}
