//! The capabilities of a live QEMU.

use std::collections::HashMap;

use qmp_client::Result;
use qmp_types::qmp::commands::QueryQmpSchema;
use qmp_types::qmp::types::{SchemaInfo, SchemaInfoMetaType as Meta};
use qmp_types::{Command, Event};

use crate::monitor::Monitor;

pub(crate) async fn capabilities<M: Monitor>(vm: &M) -> Result<Capabilities> {
    vm.execute(QueryQmpSchema::new()).await.map(Capabilities::new)
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
#[derive(Clone, Debug)]
pub struct Capabilities {
    entries: HashMap<String, SchemaInfo>,
}

impl Capabilities {
    /// Reads a reply to `query-qmp-schema`.
    #[must_use]
    pub fn new(schema: Vec<SchemaInfo>) -> Self {
        Self { entries: schema.into_iter().map(|entry| (entry.name.clone(), entry)).collect() }
    }

    /// Returns whether QEMU has this command.
    #[must_use]
    pub fn supports<C: Command>(&self) -> bool {
        self.has(C::NAME)
    }

    /// Returns whether QEMU has this event.
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
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let mut steps = path.split('/');
        let Some(entry) = steps.next().and_then(|name| self.entries.get(name)) else {
            return false;
        };
        if !matches!(entry.meta_type, Meta::Command(_) | Meta::Event(_)) {
            // The names of types are internal to QEMU, and change.
            return false;
        }
        self.leads(entry, &steps.collect::<Vec<_>>())
    }

    fn named(&self, name: &str, steps: &[&str]) -> bool {
        self.entries.get(name).is_some_and(|entry| self.leads(entry, steps))
    }

    fn leads(&self, entry: &SchemaInfo, steps: &[&str]) -> bool {
        let Some((step, rest)) = steps.split_first() else { return true };
        if let Some(feature) = step.strip_prefix('$') {
            return rest.is_empty() && has_feature(entry.features.as_deref(), feature);
        }
        match &entry.meta_type {
            Meta::Command(command) => match *step {
                "arg-type" => self.named(&command.arg_type, rest),
                "ret-type" => self.named(&command.ret_type, rest),
                _ => self.named(&command.arg_type, steps),
            },
            Meta::Event(event) => match *step {
                "arg-type" => self.named(&event.arg_type, rest),
                _ => self.named(&event.arg_type, steps),
            },
            Meta::Array(array) => self.named(&array.element_type, steps),
            Meta::Enum(values) => {
                let value = values.members.iter().find(|value| value.name == *step);
                match (value, rest) {
                    (Some(_), []) => true,
                    (Some(value), [feature]) => feature
                        .strip_prefix('$')
                        .is_some_and(|feature| has_feature(value.features.as_deref(), feature)),
                    _ => false,
                }
            }
            Meta::Object(object) => {
                let member = object.members.iter().find(|member| member.name == *step);
                if let Some(member) = member {
                    return match rest {
                        [feature] if feature.starts_with('$') => {
                            has_feature(member.features.as_deref(), &feature[1..])
                                || self.named(&member.type_, rest)
                        }
                        _ => self.named(&member.type_, rest),
                    };
                }
                let branches = object.variants.iter().flatten();
                branches.into_iter().any(|branch| {
                    branch.case == *step && self.named(&branch.type_, rest)
                        || self.named(&branch.type_, steps)
                })
            }
            Meta::Alternate(alternate) => {
                alternate.members.iter().any(|member| self.named(&member.type_, steps))
            }
            _ => false,
        }
    }
}

fn has_feature(features: Option<&[String]>, wanted: &str) -> bool {
    features.unwrap_or_default().iter().any(|feature| feature == wanted)
}
