//! The reasons why a Unix socket cannot be connected to, as far as the file system tells.

use std::io;
use std::path::Path;

use crate::address::Address;

/// Describes the obstacle to a connection that failed, in words that follow the address and a comma.
pub(crate) fn describe(address: &Address, error: &io::Error) -> Option<String> {
    match (address, error.kind()) {
        (Address::Unix(path), io::ErrorKind::NotFound) => missing(path),
        #[cfg(unix)]
        (Address::Unix(path), io::ErrorKind::ConnectionRefused) => refused(path),
        #[cfg(unix)]
        (Address::Unix(path), io::ErrorKind::PermissionDenied) => denied(path),
        (Address::Abstract(_), io::ErrorKind::ConnectionRefused) => {
            Some("a name at which no process listens".to_owned())
        }
        _ => None,
    }
}

fn missing(path: &Path) -> Option<String> {
    let mut missing = None;
    for directory in path.ancestors().skip(1) {
        if directory.as_os_str().is_empty() || directory.exists() {
            break;
        }
        missing = Some(directory);
    }
    Some(format!("whose directory {} does not exist", missing?.display()))
}

#[cfg(unix)]
fn refused(path: &Path) -> Option<String> {
    use std::os::unix::fs::FileTypeExt;
    let kind = path.metadata().ok()?.file_type();
    Some(if kind.is_socket() {
        "a socket that no process listens on, perhaps left over from one that has ended".to_owned()
    } else if kind.is_dir() {
        "a directory, not a socket".to_owned()
    } else {
        "a file that is not a socket".to_owned()
    })
}

#[cfg(unix)]
fn denied(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // The first thing from the root that can be seen is closed, or is in a closed directory.
    let closed = path.ancestors().find(|path| path.metadata().is_ok())?;
    let metadata = closed.metadata().ok()?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let place = if closed.as_os_str() == path.as_os_str() {
        String::new()
    } else {
        format!("in {}, ", closed.display())
    };
    let owner = if uid == 0 { "root".to_owned() } else { format!("the user with the id {uid}") };
    Some(format!("{place}which belongs to {owner} and has the mode {mode:04o}"))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};

    #[test]
    fn the_file_system_tells_what_is_in_the_way() {
        let directory =
            std::env::temp_dir().join(format!("qmp-client-obstacle-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let at = |name: &str| directory.join(name);
        std::fs::write(at("file"), "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("stale")).unwrap());
        for (path, kind, expected) in [
            (at("missing"), NotFound, None),
            (at("a/b"), NotFound, Some("/a does not exist")),
            ("missing-in-current-directory".into(), NotFound, None),
            (at("file"), ConnectionRefused, Some("not a socket")),
            (directory.clone(), ConnectionRefused, Some("a directory")),
            (at("stale"), ConnectionRefused, Some("left over")),
            (at("file"), PermissionDenied, Some("has the mode 0")),
            (at("stale"), ConnectionRefused, Some("no process listens")),
        ] {
            let found = describe(&Address::Unix(path.clone()), &kind.into());
            match (&found, expected) {
                (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
                _ => assert_eq!(found.as_deref(), expected, "{}", path.display()),
            }
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
