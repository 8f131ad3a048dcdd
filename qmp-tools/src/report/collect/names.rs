//! Names that people gave, and those that QEMU made.

/// Returns the ID of a device, given the QOM path of it or of something inside of it.
pub(super) fn id_of_path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/machine/peripheral/")?;
    rest.split('/').next().filter(|id| !id.is_empty())
}

/// Returns whether a name was given by a person: QEMU's own begin with `#`.
pub(super) fn is_given(name: &str) -> bool {
    !name.starts_with('#')
}

/// Returns a machine's name, given its object type: the name followed by `-machine`.
pub(super) fn machine(object_type: &str) -> String {
    object_type.strip_suffix("-machine").unwrap_or(object_type).to_owned()
}

/// Returns the type of a child, given the type of its property: `child<e1000>`.
pub(super) fn child_type(property_type: &str) -> Option<&str> {
    property_type.strip_prefix("child<")?.strip_suffix('>')
}
