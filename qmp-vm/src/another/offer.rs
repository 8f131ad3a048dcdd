//! The offer of a proxy, in its greeting.

use qmp_types::{Capability, Greeting};

/// The capability of a proxy that opens monitors.
#[cfg(feature = "proxy")]
pub(crate) const OFFERED: &str = NAMES[0];

/// The further capability if all monitors of the client are to be the proxy's, because QEMU's own would
/// have other rights.
#[cfg(feature = "proxy")]
pub(crate) const ONLY: &str = NAMES[1];

const NAMES: [&str; 2] = ["__qmp-vm_open-monitor", "__qmp-vm_open-monitor-only"];

/// The offer to open monitors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Offer {
    /// The peer is not a proxy that opens monitors.
    None,
    /// The proxy opens monitors.
    Also,
    /// The proxy opens monitors, and QEMU is not to.
    Only,
}

impl Offer {
    pub(super) fn of(greeting: &Greeting) -> Self {
        let has = |name: &str| {
            let mut all = greeting.capabilities.iter();
            all.any(|it| matches!(it, Capability::Unknown(it) if **it == *name))
        };
        match (has(NAMES[0]), has(NAMES[1])) {
            (false, _) => Self::None,
            (true, false) => Self::Also,
            (true, true) => Self::Only,
        }
    }
}
