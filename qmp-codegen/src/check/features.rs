//! Features: no two of the same name, and special ones only where they mean something.

use std::collections::{HashMap, HashSet};

use crate::ast::Feature;
use crate::diagnostic::{Diagnostic, Severity};
use crate::report::{Report, Scope};

use super::index::Index;
use super::names::Mangled;

/// QEMU 10.0 and later number the features of all definitions, in 64 bits.
const MAX_FEATURES: usize = 64;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    let mut names = HashSet::new();
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        for (index, features) in definition.feature_lists().enumerate() {
            check_unique(features, index == 0, &mut scope);
            for Feature { name, .. } in features {
                if names.insert(&*name.text) && names.len() == MAX_FEATURES + 1 {
                    let message = format!("a schema has {MAX_FEATURES} features at most");
                    scope.push(
                        Diagnostic::warning(name.span, message)
                            .help("QEMU 10.0 and later refuse more, earlier ones do not count"),
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
                let help = "give it to the commands, events, members or values in question";
                scope.push(Diagnostic::error(feature.name.span, message).help(help));
            }
        }
    }
}

/// QEMU looks for clashes only among the features of a definition itself.
fn check_unique(features: &[Feature], own: bool, scope: &mut Scope<'_, '_>) {
    if features.len() < 2 {
        return;
    }
    let mut seen = HashMap::with_capacity(features.len());
    for feature in features {
        if let Some(first) = seen.insert(Mangled(&feature.name.text), &feature.name) {
            let message =
                format!("feature '{}' clashes with feature '{}'", feature.name.text, first.text);
            let mut error =
                Diagnostic::error(feature.name.span, message).related(first.span, "the other one");
            if !own {
                error.severity = Severity::Warning;
            }
            scope.push(error);
        }
    }
}
