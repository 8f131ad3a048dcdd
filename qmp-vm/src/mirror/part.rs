//! The parts of a machine that a mirror keeps, one query each.

use std::fmt;
use std::sync::Arc;

use qmp_client::{Command, Request, Result};
use qmp_types::qmp::commands::{
    QomList, QueryBalloon, QueryBlock, QueryBlockExports, QueryBlockJobs, QueryChardev,
    QueryHotpluggableCpus, QueryIothreads, QueryJobs, QueryMemdev, QueryMemoryDevices,
    QueryMemorySizeSummary, QueryMigrate, QueryNamedBlockNodes, QueryPci, QueryStatus,
    XDebugQueryBlockGraph,
};
use qmp_types::qmp::types::ObjectPropertyInfo;

use crate::limit::Limit;
use crate::monitor::Monitor;

/// The value of a command's reply.
type Of<C> = <C as Command>::Return;

macro_rules! parts {
    ($($(#[$doc:meta])* $part:ident, $field:ident: $command:ty = $ask:expr;)*) => {
        /// A part of a machine, which one query returns as a whole.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Part {
            $($(#[$doc])* $part,)*
        }

        impl Part {
            /// All parts, in the order in which they are asked for.
            pub const ALL: &'static [Self] = &[$(Self::$part),*];

            /// Returns the name of the query that returns this part.
            ///
            /// ```
            /// assert_eq!(qmp_vm::mirror::Part::Status.query(), "query-status");
            /// ```
            #[must_use]
            pub fn query(self) -> &'static str {
                match self {
                    $(Self::$part => <$command as Command>::NAME,)*
                }
            }
        }

        /// A successful reply to the query of a part.
        #[derive(Debug)]
        pub(super) enum Answer {
            $($part(Arc<Of<$command>>),)*
        }

        /// The values of all parts; `None` where the machine returned none.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Values {
            $(pub(super) $field: Option<Arc<Of<$command>>>,)*
        }

        impl Values {
            /// Replaces the value of a part if it differs.
            pub(super) fn set(&mut self, answer: Answer) {
                match answer {
                    $(Answer::$part(value) => {
                        if self.$field.as_ref() != Some(&value) {
                            self.$field = Some(value);
                        }
                    })*
                }
            }

            /// Removes the value of a part.
            pub(super) fn clear(&mut self, part: Part) {
                match part {
                    $(Part::$part => self.$field = None,)*
                }
            }

            /// Returns whether a part has a value.
            pub(super) fn has(&self, part: Part) -> bool {
                match part {
                    $(Part::$part => self.$field.is_some(),)*
                }
            }

            /// Returns whether a part has the same value in both.
            pub(super) fn agree(&self, other: &Self, part: Part) -> bool {
                match part {
                    $(Part::$part => same(&self.$field, &other.$field),)*
                }
            }
        }

        /// Asks for a part.
        pub(super) async fn ask<M: Monitor>(vm: &M, limit: &Limit, part: Part) -> Result<Answer> {
            match part {
                $(Part::$part => {
                    let value = execute(vm, limit, $ask).await?;
                    Ok(Answer::$part(Arc::new(value)))
                })*
            }
        }
    };
}

parts! {
    /// The run state: `query-status`.
    Status, status: QueryStatus = QueryStatus::new();
    /// The migration: `query-migrate`.
    Migration, migration: QueryMigrate = QueryMigrate::new();
    /// The jobs: `query-jobs`.
    Jobs, jobs: QueryJobs = QueryJobs::new();
    /// The jobs of block devices, with what only these have: `query-block-jobs`.
    BlockJobs, block_jobs: QueryBlockJobs = QueryBlockJobs::new();
    /// The block nodes: `query-named-block-nodes`, without the images of backing files.
    Nodes, nodes: QueryNamedBlockNodes = QueryNamedBlockNodes::new().flat(true);
    /// How block nodes depend on each other: `x-debug-query-block-graph`.
    Graph, graph: XDebugQueryBlockGraph = XDebugQueryBlockGraph::new();
    /// The block devices as the guest sees them: `query-block`.
    Drives, drives: QueryBlock = QueryBlock::new().flat(true);
    /// The exports of block nodes: `query-block-exports`.
    Exports, exports: QueryBlockExports = QueryBlockExports::new();
    /// The devices that have an id: `qom-list` of `/machine/peripheral`, by name.
    Devices, devices: QomList = QomList::new("/machine/peripheral");
    /// The devices that have no id: `qom-list` of `/machine/peripheral-anon`, by name.
    UnnamedDevices, unnamed_devices: QomList = QomList::new("/machine/peripheral-anon");
    /// The devices on PCI buses: `query-pci`.
    Pci, pci: QueryPci = QueryPci::new();
    /// The slots for CPUs: `query-hotpluggable-cpus`.
    Cpus, cpus: QueryHotpluggableCpus = QueryHotpluggableCpus::new();
    /// The objects that were created by `object-add` or `-object`: `qom-list` of `/objects`, by name.
    Objects, objects: QomList = QomList::new("/objects");
    /// The memory backends: `query-memdev`.
    MemoryBackends, memory_backends: QueryMemdev = QueryMemdev::new();
    /// The I/O threads: `query-iothreads`.
    IoThreads, io_threads: QueryIothreads = QueryIothreads::new();
    /// The amount of memory: `query-memory-size-summary`.
    MemorySize, memory_size: QueryMemorySizeSummary = QueryMemorySizeSummary::new();
    /// The memory devices: `query-memory-devices`.
    MemoryDevices, memory_devices: QueryMemoryDevices = QueryMemoryDevices::new();
    /// The balloon: `query-balloon`.
    Balloon, balloon: QueryBalloon = QueryBalloon::new();
    /// The character devices: `query-chardev`.
    Chardevs, chardevs: QueryChardev = QueryChardev::new();
}

/// The number of parts.
pub(super) const COUNT: usize = Part::ALL.len();

impl Part {
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Part {
    /// Writes the name of the query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.query())?;
        match self {
            Self::Devices => f.write_str(" /machine/peripheral"),
            Self::UnnamedDevices => f.write_str(" /machine/peripheral-anon"),
            Self::Objects => f.write_str(" /objects"),
            _ => Ok(()),
        }
    }
}

/// A set of parts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Parts(u32);

impl Parts {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self((1 << COUNT) - 1);

    pub(super) const fn of(parts: &[Part]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < parts.len() {
            bits |= 1 << parts[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    pub(super) fn insert(&mut self, part: Part) {
        self.0 |= 1 << part as u32;
    }

    pub(super) fn remove(&mut self, part: Part) {
        self.0 &= !(1 << part as u32);
    }

    pub(super) fn contains(self, part: Part) -> bool {
        self.0 & (1 << part as u32) != 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Part> {
        Part::ALL.iter().copied().filter(move |part| self.contains(*part))
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let mut all = Self::NONE;
        parts.into_iter().for_each(|part| all.insert(part));
        all
    }
}

impl Answer {
    /// Keeps of the properties of a container only its children, by name: QEMU returns them in the
    /// order of a hash table.
    pub(super) fn tidied(mut self) -> Self {
        if let Self::Devices(list) | Self::UnnamedDevices(list) | Self::Objects(list) = &mut self {
            let list = Arc::make_mut(list);
            list.retain(|property| child_type(property).is_some());
            list.sort_by(|one, other| one.name.cmp(&other.name));
        }
        self
    }
}

/// Returns the type of the object that a property of a container holds.
pub(super) fn child_type(property: &ObjectPropertyInfo) -> Option<&str> {
    property.type_.strip_prefix("child<")?.strip_suffix('>')
}

fn same<T: PartialEq>(one: &Option<Arc<T>>, other: &Option<Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}

async fn execute<M: Monitor, R: Request<Return: Send> + Send>(
    vm: &M,
    limit: &Limit,
    request: R,
) -> Result<R::Return> {
    limit.execute(vm, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_all_parts_has_each_of_them() {
        assert!(Parts::ALL.iter().eq(Part::ALL.iter().copied()));
        assert!(Part::ALL.iter().enumerate().all(|(index, part)| part.index() == index));
        assert_eq!(Parts::of(Part::ALL), Parts::ALL);
        assert_eq!(Parts::of(&[Part::Jobs]).iter().collect::<Vec<_>>(), [Part::Jobs]);
        assert!(Parts::NONE.is_empty());
    }

    /// A mirror must change nothing.
    #[test]
    fn every_query_is_read_only() {
        for part in Part::ALL {
            let query = part.query();
            let is_read_only = qmp_types::qmp::is_read_only(query);
            assert!(is_read_only, "{query}");
        }
    }
}
