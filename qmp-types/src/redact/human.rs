//! Lines for the human monitor, whose commands no schema describes.

use super::SECRET;
use super::strict::unquote;

/// The member of `human-monitor-command` that has the line.
pub(super) const LINE: &str = "command-line";

/// The commands that have no secrets: their lines are shown. Any other command could have some.
const WITHOUT_SECRETS: [&str; 56] = [
    "?",
    "announce_self",
    "balloon",
    "block_job_cancel",
    "block_job_complete",
    "block_job_pause",
    "block_job_resume",
    "block_job_set_speed",
    "block_resize",
    "block_set_io_throttle",
    "block_stream",
    "boot_set",
    "c",
    "calc_dirty_rate",
    "chardev-remove",
    "chardev-send-break",
    "closefd",
    "commit",
    "cont",
    "cpu",
    "delvm",
    "device_del",
    "drive_del",
    "dump-guest-memory",
    "eject",
    "expire_password",
    "gdbserver",
    "getfd",
    "help",
    "info",
    "loadvm",
    "log",
    "logfile",
    "migrate_cancel",
    "migrate_continue",
    "migrate_pause",
    "mouse_button",
    "mouse_move",
    "mouse_set",
    "nbd_server_remove",
    "nbd_server_stop",
    "netdev_del",
    "nmi",
    "object_del",
    "p",
    "print",
    "qom-get",
    "qom-list",
    "savevm",
    "set_link",
    "stop",
    "sync-profile",
    "system_powerdown",
    "system_reset",
    "system_wakeup",
    "trace-event",
];

/// The commands that may have secrets: their names are shown, and nothing after them.
const WITH_SECRETS: [&str; 26] = [
    "block_passwd",
    "change",
    "chardev-add",
    "chardev-change",
    "client_migrate_info",
    "device_add",
    "drive_add",
    "drive_backup",
    "drive_mirror",
    "exit_preconfig",
    "hostfwd_add",
    "hostfwd_remove",
    "migrate",
    "migrate_incoming",
    "migrate_recover",
    "migrate_set_parameter",
    "nbd_server_add",
    "nbd_server_start",
    "netdev_add",
    "object_add",
    "qemu-io",
    "qom-set",
    "ringbuf_write",
    "sendkey",
    "set_password",
    "snapshot_blkdev",
];

/// Returns what is shown of a line in quotes, or none if it has no secrets.
#[inline]
pub(super) fn mask(quoted: &str) -> Option<String> {
    let line = unquote(quoted).unwrap_or_default();
    let name = line.split_ascii_whitespace().next().unwrap_or_default();
    let has_controls = line.contains(char::is_control);
    if WITHOUT_SECRETS.contains(&name) && !has_controls {
        return None;
    }
    match WITH_SECRETS.contains(&name) {
        true => Some(format!("\"{name} {SECRET}\"")),
        // Even the name can be a password, typed at the wrong prompt.
        false => Some(format!("\"{SECRET}\"")),
    }
}

/// Returns the property that a line reads, if its command is `qom-get`.
#[inline]
pub(super) fn property_read(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    (words.next() == Some("qom-get")).then(|| words.nth(1)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_if_they_have_no_secrets() {
        for (line, expected) in [
            ("\"info status\"", None),
            ("' info   block'", None),
            ("\"qom-get /objects/s data\"", None),
            ("\"set_password vnc hunter2\"", Some("\"set_password <secret>\"")),
            ("\"\\tchange vnc password hunter2\"", Some("\"change <secret>\"")),
            ("\"hunter2\"", Some("\"<secret>\"")),
            ("\"info x\\nset_password vnc hunter2\"", Some("\"<secret>\"")),
            ("{\"a\": 1}", Some("\"<secret>\"")),
            ("", Some("\"<secret>\"")),
        ] {
            assert_eq!(mask(line).as_deref(), expected, "{line}");
        }
        assert_eq!(property_read(" qom-get  /objects/s data"), Some("data"));
        assert_eq!(property_read("qom-set /objects/s data"), None);
    }
}
