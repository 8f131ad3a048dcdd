//! Recommended deadlines of commands.
//!
//! QEMU answers most commands within a millisecond. But it answers them one after the other, in
//! between its other work: on a loaded host a trivial query can wait for seconds, and a command that
//! drains a disk or loads a file takes as long as that takes. The deadlines here are meant to end a
//! wait that is hopeless, not to detect that QEMU is slow.

use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
/// The time in which a command whose success is not answered may be refused.
const SILENCE: Duration = Duration::from_secs(10);

/// Commands that wait for a disk, a file, a peer or a device before they are answered, and their
/// deadlines in minutes.
const SLOW: &[(&str, u64)] = &[
    ("block-commit", 10),
    ("block-dirty-bitmap-merge", 10),
    ("block-dirty-bitmap-remove", 10),
    ("block-export-add", 10),
    ("block_resize", 10),
    ("blockdev-add", 10),
    ("blockdev-backup", 10),
    ("blockdev-del", 10),
    ("blockdev-mirror", 10),
    ("blockdev-reopen", 10),
    ("blockdev-snapshot", 10),
    ("blockdev-snapshot-delete-internal-sync", 60),
    ("blockdev-snapshot-internal-sync", 60),
    ("blockdev-snapshot-sync", 10),
    ("cont", 10),
    ("device_add", 10),
    ("drive-backup", 10),
    ("drive-mirror", 10),
    ("dump-guest-memory", 60),
    ("guest-fsfreeze-freeze", 10),
    ("guest-fsfreeze-freeze-list", 10),
    ("guest-fsfreeze-thaw", 10),
    ("guest-fstrim", 60),
    ("human-monitor-command", 60),
    ("memsave", 60),
    ("migrate", 10),
    ("migrate-incoming", 10),
    ("migrate-recover", 10),
    ("migrate_cancel", 10),
    ("object-add", 10),
    ("object-del", 10),
    ("pmemsave", 60),
    ("query-blockstats", 10),
    ("query-named-block-nodes", 10),
    ("quit", 10),
    ("screendump", 10),
    ("stop", 10),
    ("transaction", 10),
    ("xen-save-devices-state", 60),
];

/// Commands of the guest agent whose success is not answered.
const SILENT: &[&str] =
    &["guest-shutdown", "guest-suspend-disk", "guest-suspend-hybrid", "guest-suspend-ram"];

/// Returns the deadline that a call of this command has unless the caller sets one.
///
/// An hour for commands that write memory or snapshots before they are answered, ten minutes for
/// those that wait for a disk, a file or a device, ten seconds for those whose success is not
/// answered, and a minute for all others.
///
/// ```
/// use std::time::Duration;
///
/// use qmp_protocol::deadlines::recommended;
///
/// assert_eq!(recommended("query-status"), Duration::from_secs(60));
/// assert_eq!(recommended("blockdev-add"), Duration::from_secs(600));
/// ```
#[must_use]
pub const fn recommended(command: &str) -> Duration {
    // Without iterators, so that the deadline of a command's type is a constant.
    let mut index = 0;
    while index < SLOW.len() {
        let (name, minutes) = SLOW[index];
        if is_same(name, command) {
            return Duration::from_secs(60 * minutes);
        }
        index += 1;
    }
    index = 0;
    while index < SILENT.len() {
        if is_same(SILENT[index], command) {
            return SILENCE;
        }
        index += 1;
    }
    MINUTE
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut index = 0;
    while index < one.len() {
        if one[index] != other[index] {
            return false;
        }
        index += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(SLOW.is_sorted_by_key(|(name, _)| name));
        const STATUS: Duration = recommended("query-status");
        assert_eq!(STATUS, MINUTE);
        assert_eq!(recommended("dump-guest-memory"), 60 * MINUTE);
        assert_eq!(recommended("guest-shutdown"), SILENCE);
        assert_eq!(recommended("quit"), 10 * MINUTE);
        assert_eq!(recommended("quit2"), MINUTE);
        assert_eq!(recommended(""), MINUTE);
    }
}
