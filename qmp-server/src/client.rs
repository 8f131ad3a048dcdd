//! The identity of a client.

use std::fmt;
use std::sync::Arc;

/// A connected client, as handlers see it. Clones refer to the same client.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    number: u64,
    identity: Identity,
}

/// The peer at the other end of a connection.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Identity {
    /// The address of the peer, if it has one.
    pub address: Option<String>,
    /// The process that has connected to a Unix socket. This is known of clients that the module
    /// `tokio` serves.
    pub credentials: Option<Credentials>,
}

/// The process and the user that connected to a Unix socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Credentials {
    /// The process ID, if the system reports it and the process is in the same namespace.
    pub process: Option<i32>,
    /// The user ID.
    pub user: u32,
    /// The group ID.
    pub group: u32,
}

impl Client {
    pub(crate) fn new(number: u64, identity: Identity) -> Self {
        Self(Arc::new(Inner { number, identity }))
    }

    /// Returns the number of the connection. A server never uses a number twice.
    ///
    /// ```
    /// # fn example(client: &qmp_server::Client) {
    /// println!("client {}", client.number());
    /// # }
    /// ```
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Returns the address of the peer, if it has one.
    ///
    /// ```
    /// # fn example(client: &qmp_server::Client) {
    /// println!("{:?}", client.address());
    /// # }
    /// ```
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.0.identity.address.as_deref()
    }

    /// Returns the process and the user that connected to a Unix socket, if they are known. This is
    /// the case of clients that the module `tokio` serves.
    ///
    /// ```
    /// # fn example(client: &qmp_server::Client) {
    /// println!("{:?}", client.credentials());
    /// # }
    /// ```
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.0.identity.credentials
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("number", &self.0.number)
            .field("identity", &self.0.identity)
            .finish()
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

impl Identity {
    // `rustix` offers the credentials, too, but its type has no value for a process in another
    // namespace, of which the system says that its ID is 0.
    #[cfg(all(unix, feature = "tokio"))]
    pub(crate) fn of_unix(stream: &::tokio::net::UnixStream) -> Self {
        let credentials = stream.peer_cred().ok().map(|peer| Credentials {
            process: peer.pid().filter(|process| *process != 0),
            user: peer.uid(),
            group: peer.gid(),
        });
        Self { address: None, credentials }
    }

    pub(crate) fn of_tcp(address: Option<std::net::SocketAddr>) -> Self {
        Self { address: address.map(|address| address.to_string()), credentials: None }
    }
}
