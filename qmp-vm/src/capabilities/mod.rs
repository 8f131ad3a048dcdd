//! The capabilities of a live QEMU.
//!
//! ```text
//! reply ──text──> shared (the same text of another connection?) ──> Table ──decode──> entries
//! path ──────────────────────────────────────────────────────────────────────────────> yes, no
//! ```

mod path;
mod shared;
mod table;

use std::fmt;
use std::sync::Arc;

use qmp_types::qmp::types::SchemaInfo;
use qmp_types::{Command, Event, Text};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::monitor::Monitor;
use table::Table;

pub(crate) async fn capabilities<M: Monitor>(vm: &M) -> qmp_client::Result<Capabilities> {
    vm.execute(QueryQmpSchema).await.map(|Reply(table)| Capabilities { table })
}

/// `query-qmp-schema`, whose reply is kept as text.
struct QueryQmpSchema;

impl Command for QueryQmpSchema {
    const NAME: &'static str = "query-qmp-schema";
    const HAS_ARGUMENTS: bool = false;
    const READ_ONLY: bool = true;
    type Return = Reply;
}

impl Serialize for QueryQmpSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}

/// The reply, as the table of its text.
struct Reply(Arc<Table>);

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed: mostly, another connection has had the same text.
        let Text(text) = Text::deserialize(deserializer)?;
        shared::table(text).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &RawValue =
            serde_json::from_str(self.0.text()).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

/// The capabilities of a live QEMU, from `query-qmp-schema`: for programs that must work with
/// several releases, and with builds that leave features out. The version tells less.
///
/// ```no_run
/// # #[cfg(feature = "blocking")]
/// # fn example() -> qmp_client::Result<()> {
/// use qmp_client::{blocking::Client, qmp::commands::BlockdevMirror};
/// use qmp_vm::Workflows;
///
/// let vm = Client::connect("unix:/run/vm.sock")?;
/// let qemu = vm.capabilities()?;
/// assert!(qemu.supports::<BlockdevMirror>());
/// if qemu.has("blockdev-add/arg-type/driver/io_uring") { /* ... */ }
/// # Ok(())
/// # }
/// ```
///
/// All values that come from the same reply share it, also those of different connections: a program
/// with thousands of connections to a few builds of QEMU keeps a few replies. An entry of the reply is
/// decoded when it is asked for; one of a form that QEMU's do not have counts as missing.
#[derive(Clone)]
pub struct Capabilities {
    table: Arc<Table>,
}

impl Capabilities {
    /// Reads a reply to `query-qmp-schema`.
    ///
    /// ```
    /// use qmp_client::qmp::commands::QueryStatus;
    /// use qmp_vm::Capabilities;
    ///
    /// // Nothing, for a test of what a program does without it.
    /// let capabilities = Capabilities::new(Vec::new());
    /// assert!(!capabilities.supports::<QueryStatus>());
    /// ```
    #[must_use]
    pub fn new(schema: Vec<SchemaInfo>) -> Self {
        // What was decoded can be encoded.
        let text = serde_json::to_string(&schema).unwrap_or_default();
        Self { table: shared::table(text.into()).unwrap_or_default() }
    }

    /// Returns whether QEMU has this command.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_client::qmp::commands::QueryStats;
    /// use qmp_vm::Workflows;
    ///
    /// println!("{}", vm.capabilities()?.supports::<QueryStats>());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn supports<C: Command>(&self) -> bool {
        self.has(C::NAME)
    }

    /// Returns whether QEMU has this event.
    ///
    /// ```
    /// # fn example(capabilities: &qmp_vm::Capabilities) {
    /// use qmp_client::qmp::events::DeviceUnplugGuestError;
    ///
    /// if !capabilities.emits::<DeviceUnplugGuestError>() {
    ///     println!("this QEMU does not tell that a guest refuses to give up a device");
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn emits<E: Event>(&self) -> bool {
        self.has(E::NAME)
    }

    /// Returns whether QEMU has the element at the end of a path. A path begins with the name of a
    /// command or an event, followed by any of these, separated by `/`:
    ///
    /// - `arg-type` or `ret-type`: a command's arguments (an event's data), or what it returns.
    ///   `arg-type` may be left out.
    /// - The name of a member, of the type itself or of any of its branches.
    /// - A value of an enumeration. The value of a discriminator leads to its branch as well.
    /// - `$` and the name of a feature of the element before it.
    ///
    /// Examples are `blockdev-add/arg-type/driver/qcow2`, `blockdev-add/arg-type/qcow2/data-file`
    /// and `device_add/$json-cli`. The elements of an array follow the array's name directly.
    ///
    /// ```no_run
    /// # #[cfg(feature = "blocking")]
    /// # fn example(vm: qmp_client::blocking::Client) -> qmp_client::Result<()> {
    /// use qmp_vm::Workflows;
    ///
    /// let capabilities = vm.capabilities()?;
    /// // A command, one of its arguments, and a value of that argument.
    /// println!("{}", capabilities.has("blockdev-mirror"));
    /// println!("{}", capabilities.has("blockdev-mirror/copy-mode"));
    /// println!("{}", capabilities.has("blockdev-mirror/copy-mode/write-blocking"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        path::leads(&self.table, path)
    }
}

/// Shows the number of entries.
impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities").field("entries", &self.table.len()).finish()
    }
}
