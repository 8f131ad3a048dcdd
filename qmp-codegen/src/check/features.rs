//! Checks features: unique names, and special features only where they have a meaning.

use std::collections::HashMap;

use crate::ast::Feature;
use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::few::Few;
use crate::report::{Report, Scope};

use super::index::Index;
use super::names::Mangled;

/// The maximum number of distinct features in QEMU 10.0 and later, which store them as 64 bits.
const MAX_FEATURES: usize = 64;

/// The number of bytes of descriptions that are repeated: each member and value with a feature has
/// the description of the feature. QEMU's schema has 10 KiB.
const MAX_REPEATED: usize = 16 << 20;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    check_descriptions(index, report);
    let mut names = Few::new();
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        for (index, features) in definition.feature_lists().into_iter().enumerate() {
            check_unique(features, index == 0, &mut scope);
            for Feature { name, .. } in features {
                if names.insert(name.text.as_str(), ()).is_none() && names.len() == MAX_FEATURES + 1
                {
                    let message =
                        format!("the schema has more than {MAX_FEATURES} distinct features");
                    scope.push(
                        Diagnostic::warning(name.span, message)
                            .help("QEMU 10.0 and later reject it"),
                    );
                }
            }
        }
        if !definition.kind().is_type() {
            continue;
        }
        for feature in &definition.features {
            if matches!(feature.name.text.as_str(), "deprecated" | "unstable") {
                let message = format!("a type cannot have the feature '{}'", feature.name.text);
                let help = "add it to the affected commands, events, members, or values instead";
                scope.push(Diagnostic::error(feature.name.span, message).help(help));
            }
        }
    }
}

/// Checks that long descriptions are not repeated thousands of times.
fn check_descriptions(index: &Index<'_>, report: &mut Report) {
    let mut left = MAX_REPEATED;
    for definition in index.definitions() {
        let Some(doc) = definition.doc.as_ref().filter(|doc| !doc.features.is_empty()) else {
            continue;
        };
        let mut lengths = Few::new();
        for feature in &doc.features {
            lengths.insert(feature.name.text.as_str(), feature.text.len());
        }
        for Feature { name, .. } in definition.all_features() {
            let length = lengths.get(name.text.as_str()).copied().unwrap_or_default();
            if length > left {
                let message = format!(
                    "the description of feature '{}' is repeated in each member that has it, which \
                     exceeds {} MiB in all",
                    name.text,
                    MAX_REPEATED >> 20
                );
                let error = Diagnostic::error(name.span, message).by(Rule::Limit);
                Scope::of(report, definition).push(error);
                return;
            }
            left -= length;
        }
    }
}

/// Checks that the names in a list of features are unique. QEMU only checks the list of the
/// definition itself, so that duplicates in other lists are warnings.
fn check_unique(features: &[Feature], own: bool, scope: &mut Scope<'_, '_>) {
    if features.len() < 2 {
        return;
    }
    let mut seen = HashMap::with_capacity(features.len());
    for (index, feature) in features.iter().enumerate() {
        if let Some(first) = seen.insert(Mangled(&feature.name.text), index) {
            let first = &features[first].name;
            let message = match feature.name.text == first.text {
                true => format!("duplicate feature '{}'", first.text),
                false => format!(
                    "feature '{}' conflicts with feature '{}'",
                    feature.name.text, first.text
                ),
            };
            let mut error = Diagnostic::error(feature.name.span, message)
                .related(first.span, "the other feature");
            if !own {
                error.severity = Severity::Warning;
            }
            scope.push(error);
        }
    }
}
