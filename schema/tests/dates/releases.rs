//! The releases whose introspection is in `../releases`.
//!
//! `VERSION.json` is the reply of a QEMU to `query-qmp-schema`, one entry per line.
//! `VERSION-schema.json` was made from the schema of the release, with all targets and build
//! options, by the same importer and exporter; those of 6.0 and 6.1 were first translated to the
//! language of 6.2.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qmp_codegen::introspection::{Names, import};
use qmp_codegen::schema::Schema;

use super::observed::{Ours, Sight};
use super::version::Version;
use super::written::Item;

/// A release, as a QEMU or its schema shows it.
pub(crate) struct Release {
    pub(crate) version: Version,
    /// Whether it has all targets and build options.
    pub(crate) complete: bool,
    pub(crate) schema: Schema,
}

/// The items of our schema as a release shows them.
pub(crate) struct Observation {
    pub(crate) version: Version,
    pub(crate) complete: bool,
    pub(crate) seen: BTreeMap<Item, Sight>,
}

pub(crate) fn directory() -> PathBuf {
    Path::new(qmp_schema::SPEC).with_file_name("tests").join("releases")
}

/// Returns all releases, the oldest first.
pub(crate) fn all() -> Vec<Release> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    let mut releases: Vec<Release> = files.filter_map(|path| read(&path)).collect();
    releases.sort_by_key(|release| (release.version, release.complete));
    releases
}

fn read(path: &Path) -> Option<Release> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    let (version, complete) =
        name.strip_suffix("-schema").map_or((name, false), |version| (version, true));
    let version = Version::parse(version)?;
    let text = std::fs::read_to_string(path).unwrap();
    Some(Release { version, complete, schema: import(&text, &Names::none()).unwrap() })
}

pub(crate) fn observe(ours: &Ours, releases: &[Release]) -> Vec<Observation> {
    let observation = |release: &Release| Observation {
        version: release.version,
        complete: release.complete,
        seen: ours.seen_in(&release.schema),
    };
    releases.iter().map(observation).collect()
}
