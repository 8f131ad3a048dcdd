//! Every link of every Markdown file leads somewhere: in the repository to a file and a heading, and on
//! a package's page, where the rest of the repository does not exist, to a file of that package or to an
//! absolute address.

#![allow(clippy::unwrap_used)] // tests

mod support;

use std::path::{Path, PathBuf};

use support::{PUBLISHED, anchors, markdown, read, root, targets};

/// The hosts that absolute links may lead to.
const HOSTS: [&str; 6] =
    ["crates.io", "docs.rs", "nats.io", "opensource.org", "www.apache.org", "www.qemu.org"];

/// Returns what is wrong with a link, if anything. `within` is the directory that it must not leave.
fn check(file: &Path, text: &str, target: &str, within: &Path) -> Option<String> {
    if let Some(address) = target.strip_prefix("https://") {
        return check_address(address);
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() {
        return check_anchor(text, anchor);
    }
    let Ok(mut place) = file.parent().unwrap().join(path).canonicalize() else {
        return Some("does not exist".into());
    };
    if !place.starts_with(within) {
        return Some(format!("is not in {}, which is published without it", within.display()));
    }
    if place.is_dir() && !anchor.is_empty() {
        place.push("README.md");
    }
    if anchor.is_empty() { None } else { check_anchor(&read(&place), anchor) }
}

fn check_anchor(text: &str, anchor: &str) -> Option<String> {
    let found = anchors(text).iter().any(|one| one == anchor);
    (!found).then(|| "has no such heading".into())
}

fn check_address(address: &str) -> Option<String> {
    let mut parts = address.trim_end_matches('/').split('/');
    let host = parts.next().unwrap_or_default();
    if !HOSTS.contains(&host) {
        return Some(format!("leads to {host}, which is not one of {HOSTS:?}"));
    }
    // `docs.rs/CRATE` and `docs.rs/CRATE/latest/CRATE/MODULE`, for our own crates.
    let name = parts.next().unwrap_or_default();
    let (_, directory) = PUBLISHED.iter().find(|(one, _)| host == "docs.rs" && *one == name)?;
    let source = root().join(directory).join("src");
    let module = parts.nth(2)?;
    let exists = read(&source.join("lib.rs")).contains(&format!("pub mod {module}"));
    (!exists).then(|| format!("names the module {module}, which {name} does not have"))
}

/// Returns a line for each bad link of a file.
fn bad_links(file: &Path, text: &str, within: &Path) -> Vec<String> {
    let found = targets(text).into_iter().filter_map(|target| {
        let problem = check(file, text, &target, within)?;
        Some(format!("{}: {target} {problem}", file.display()))
    });
    found.collect()
}

#[test]
fn links_lead_somewhere() {
    let root = root();
    let files = markdown(&root);
    assert!(files.len() > 25, "{files:?}");
    let bad: Vec<String> =
        files.iter().flat_map(|file| bad_links(file, &read(file), &root)).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// A registry shows the README of a package, and knows no other file of the repository.
#[test]
fn a_package_links_to_its_own_files() {
    let mut bad = Vec::new();
    for (_, directory) in PUBLISHED {
        let package = root().join(directory);
        let readme = package.join("README.md");
        bad.extend(bad_links(&readme, &read(&readme), &package));
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn bad_links_are_found() {
    let package = root().join("qmp-client");
    let readme: PathBuf = package.join("README.md");
    for bad in [
        "[x](../qmp-vm)",
        "[x](src/nothing.rs)",
        "[`code`](#no-such-heading)",
        "![picture](nothing.svg)",
        "[x](https://docs.rs/qmp-client/latest/qmp_client/nothing/)",
        "[x](https://example.org/)",
        "[x]: ../qmp-vm",
    ] {
        assert_eq!(bad_links(&readme, bad, &package).len(), 1, "{bad}");
    }
    let good = "# A heading\n[x](#a-heading) [x](src/lib.rs) [x](https://docs.rs/qmp-vm)\n\
                [x](https://docs.rs/qmp-client/latest/qmp_client/testing/) `[x](nothing)`\n\
                ```\n[x](nothing)\n```\n";
    assert!(bad_links(&readme, good, &package).is_empty());
}

/// mdBook reads only what the summary lists, and fails if a page that it lists does not exist.
#[test]
fn the_summary_lists_every_page() {
    let pages = root().join("book/pages");
    let summary = pages.join("SUMMARY.md");
    let listed = targets(&read(&summary));
    for page in markdown(&pages) {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        let count = listed.iter().filter(|one| **one == name).count();
        assert_eq!(count, usize::from(name != "SUMMARY.md"), "{name} in SUMMARY.md");
    }
    let sources = read(&root().join("book/src/lib.rs"));
    for page in &listed {
        assert!(
            sources.contains(&format!("\"{page}\"")),
            "{page} is not compiled by book/src/lib.rs"
        );
    }
}
