//! Checks of what a caller asks for.

use std::borrow::Cow;

use qmp_protocol::{Descriptor, Misuse};

/// The number of file descriptors that QEMU accepts with one command. It drops any others.
const MOST_DESCRIPTORS: usize = 16;

/// Checks whether these file descriptors can travel with a command.
pub(crate) fn check_descriptors(
    command: impl FnOnce() -> Cow<'static, str>,
    descriptors: &[Descriptor],
    passes_descriptors: bool,
) -> Result<(), Misuse> {
    match descriptors.len() {
        0 => Ok(()),
        _ if !passes_descriptors => Err(Misuse::NoDescriptors { command: command() }),
        1..=MOST_DESCRIPTORS => Ok(()),
        _ => Err(Misuse::TooManyDescriptors { command: command() }),
    }
}
