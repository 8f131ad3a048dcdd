//! The published package has the code that `build.rs` generates, and nothing that generates it.

#![allow(clippy::unwrap_used, missing_docs)] // tests

#[path = "../examples/package.rs"]
#[allow(dead_code)]
mod program;

use std::fs;
use std::path::{Path, PathBuf};

/// A copy of the crate, turned into what is published.
fn packaged() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    let _ = fs::remove_dir_all(&copy);
    for file in [
        "Cargo.toml",
        "build.rs",
        "vocabularies.rs",
        "src/devices.rs",
        "src/lib.rs",
        "examples/package.rs",
        "tests/package.rs",
    ] {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(source.join(file), to).unwrap();
    }
    program::package(&copy).unwrap();
    copy
}

/// Returns whether the build script has generated a vocabulary for this test.
fn is_built(name: &str) -> bool {
    name != "devices" || cfg!(feature = "devices")
}

/// Code that was laid out in different ways is the same if it is once formatted.
fn formatted(code: &str) -> String {
    prettyplease::unparse(&syn::parse_file(code).unwrap())
}

#[test]
fn the_package_has_the_code_that_the_build_script_generates() {
    let copy = packaged();
    for (name, _) in program::vocabularies::all() {
        if !is_built(name) {
            continue;
        }
        let published = fs::read_to_string(copy.join(format!("src/generated/{name}.rs"))).unwrap();
        let built = Path::new(env!("OUT_DIR")).join(format!("{name}.rs"));
        let built = fs::read_to_string(built).unwrap();
        assert!(formatted(&published) == formatted(&built), "{name}");
    }
    for (name, file) in [("qmp", "lib.rs"), ("qga", "lib.rs"), ("devices", "devices.rs")] {
        let source = fs::read_to_string(copy.join("src").join(file)).unwrap();
        assert!(source.contains(&format!("    include!(\"generated/{name}.rs\");\n")), "{source}");
    }
    let manifest = fs::read_to_string(copy.join("Cargo.toml")).unwrap();
    for part in ["build-dependencies", "dep:", "\"generate\"", "generate =", "[[example]]"] {
        assert!(!manifest.contains(part), "{part}: {manifest}");
    }
    for file in ["build.rs", "vocabularies.rs", "examples/package.rs", "tests/package.rs"] {
        assert!(!copy.join(file).exists(), "{file}");
    }
}

/// A crate that has changed must not be published with a build script by mistake.
#[test]
fn what_is_not_as_expected_is_an_error() {
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("changed");
    fs::create_dir_all(copy.join("src")).unwrap();
    fs::write(copy.join("src/lib.rs"), "pub mod qmp {}\n").unwrap();
    let _ = fs::remove_file(copy.join("Cargo.toml"));
    let error = program::package(&copy).unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
    fs::write(copy.join("Cargo.toml"), "[features]\nqmp = []\n").unwrap();
    let error = program::package(&copy).unwrap_err().to_string();
    assert_eq!(error, "no source contains this: include_vocabulary!(\"qmp\");");
    fs::write(
        copy.join("src/lib.rs"),
        "include_vocabulary!(\"qmp\"); include_vocabulary!(\"qga\"); include_vocabulary!(\"devices\");",
    )
    .unwrap();
    let error = program::package(&copy).unwrap_err().to_string();
    assert!(
        error.ends_with("Cargo.toml does not contain this: # In this repository only:"),
        "{error}"
    );
}

/// The bytes of generated code for a hundred bytes of schema, as measured. More code takes longer to
/// generate and to compile. Lower a number that has become better.
const SIZES: [(&str, u64); 3] = [("devices", 56), ("qga", 236), ("qmp", 270)];

/// Every type has its part in what all users compile: a tenth more needs a reason.
#[test]
fn generated_code_does_not_grow_by_a_tenth() {
    for (name, builder) in program::vocabularies::all() {
        let measured = SIZES.iter().find(|(known, _)| *known == name && is_built(name));
        let Some((_, measured)) = measured else { continue };
        let files = builder.generate_code().unwrap().files;
        // A schema may also be a text in the table.
        let schema: u64 = files.iter().flat_map(fs::metadata).map(|file| file.len()).sum();
        let built = Path::new(env!("OUT_DIR")).join(format!("{name}.rs"));
        let size = fs::metadata(built).unwrap().len() * 100 / schema;
        assert!(size * 10 < measured * 11, "{name}: {size} instead of {measured}");
        assert!(size * 10 > measured * 9, "{name}: {size} instead of {measured}: lower the limit");
    }
}
