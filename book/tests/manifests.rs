//! A registry shows what the manifests of the published crates say, and refuses some of it.

#![allow(clippy::unwrap_used)] // tests

use std::fs;

mod support;

use support::{PUBLISHED, read, root};

/// The categories of crates.io that are in use here. It ignores others with a warning.
const CATEGORIES: [&str; 8] = [
    "api-bindings",
    "asynchronous",
    "command-line-utilities",
    "development-tools::build-utils",
    "network-programming",
    "parser-implementations",
    "simulation",
    "virtualization",
];

/// Returns the value of a key in the section `[package]` or `[workspace.package]`.
fn value<'a>(manifest: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let (_, rest) = manifest.split_once(&format!("[{section}]\n"))?;
    let section = rest.split("\n[").next()?;
    section.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_prefix('=').map(str::trim))
}

/// Returns the strings of a TOML array.
fn strings(array: &str) -> Vec<&str> {
    array.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_crate_says_what_its_page_needs() {
    let workspace = read(&root().join("Cargo.toml"));
    let keywords = strings(value(&workspace, "workspace.package", "keywords").unwrap());
    assert!((1..=5).contains(&keywords.len()), "{keywords:?}");
    assert!(keywords.iter().all(|word| word.len() <= 20), "{keywords:?}");
    let repository = value(&workspace, "workspace.package", "repository").is_some();

    for (name, directory) in PUBLISHED {
        let manifest = read(&root().join(directory).join("Cargo.toml"));
        let of = |key: &str| value(&manifest, "package", key);
        assert_eq!(of("name"), Some(&*format!("\"{name}\"")));
        let description = of("description").unwrap().trim_matches('"');
        assert!((40..=200).contains(&description.len()), "{name}: {}", description.len());
        assert!(!description.ends_with('.'), "{name}: {description}");
        assert_eq!(of("readme"), Some("\"README.md\""), "{name}");
        assert_eq!(of("documentation"), Some(&*format!("\"https://docs.rs/{name}\"")), "{name}");
        let categories = strings(of("categories").unwrap());
        assert!((1..=5).contains(&categories.len()), "{name}: {categories:?}");
        assert!(categories.iter().all(|one| CATEGORIES.contains(one)), "{name}: {categories:?}");
        for inherited in ["version", "edition", "rust-version", "license", "keywords"] {
            assert_eq!(of(&format!("{inherited}.workspace")), Some("true"), "{name}: {inherited}");
        }
        assert_eq!(of("repository.workspace").is_some(), repository, "{name}: repository");
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            assert!(root().join(directory).join(license).exists(), "{name}: {license}");
        }
    }
}

/// docs.rs builds each crate with all features, and labels what a feature adds.
#[test]
fn docs_rs_labels_features() {
    for (name, directory) in PUBLISHED.iter().filter(|(name, _)| *name != "qmp-schema") {
        let manifest = read(&root().join(directory).join("Cargo.toml"));
        let of = |key: &str| value(&manifest, "package.metadata.docs.rs", key);
        assert_eq!(of("all-features"), Some("true"), "{name}");
        assert_eq!(of("rustdoc-args"), Some("[\"--cfg\", \"docsrs\"]"), "{name}");
        let library = read(&root().join(directory).join("src/lib.rs"));
        assert!(library.contains("#![cfg_attr(docsrs, feature(doc_cfg))]"), "{name}");
        // Each feature is explained where its users look for it.
        let features =
            manifest.split_once("[features]\n").map(|(_, rest)| rest).unwrap_or_default();
        for line in features.split("\n[").next().unwrap_or_default().lines() {
            let Some((feature, _)) = line.split_once(" = ") else { continue };
            if !["default", "generate"].contains(&feature) {
                let documented = library.contains(&format!("`{feature}`"))
                    || read(&root().join(directory).join("README.md"))
                        .contains(&format!("`{feature}`"));
                assert!(documented, "{name}: the feature {feature} is not explained");
            }
        }
    }
}

/// docs.rs shows on the page of each item how the examples use it. Cargo only looks at those examples of a
/// crate with dev-dependencies that say so.
#[test]
fn docs_rs_shows_uses_in_examples() {
    let mut examples = 0;
    for crate_name in ["qmp-codegen", "qmp-server", "qmp-vm"] {
        let manifest = read(&root().join(crate_name).join("Cargo.toml"));
        assert_eq!(
            value(&manifest, "package.metadata.docs.rs", "cargo-args"),
            Some("[\"-Zunstable-options\", \"-Zrustdoc-scrape-examples\"]"),
            "{crate_name}"
        );
        let stated: Vec<&str> = manifest.split("\n[[example]]\n").skip(1).collect();
        for file in fs::read_dir(root().join(crate_name).join("examples")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                let name = format!("name = \"{}\"\n", path.file_stem().unwrap().to_str().unwrap());
                let example = stated.iter().find(|text| text.starts_with(&name));
                let text = example.and_then(|text| text.split("\n[").next()).unwrap_or_default();
                assert!(text.contains("doc-scrape-examples = true\n"), "{crate_name}: {name}");
                examples += 1;
            }
        }
    }
    assert!(examples > 30, "{examples}");
}
