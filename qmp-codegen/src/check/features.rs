//! Features: no two of the same name, and special ones only where they mean something.

use std::collections::HashMap;

use crate::ast::Feature;
use crate::diagnostic::Diagnostic;
use crate::report::{Report, Scope};

use super::index::Index;
use super::names::Mangled;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        let mut scope = Scope::of(report, definition);
        for features in definition.feature_lists() {
            check_unique(features, &mut scope);
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

fn check_unique(features: &[Feature], scope: &mut Scope<'_, '_>) {
    if features.len() < 2 {
        return;
    }
    let mut seen = HashMap::with_capacity(features.len());
    for feature in features {
        if let Some(first) = seen.insert(Mangled(&feature.name.text), &feature.name) {
            let message =
                format!("feature '{}' clashes with feature '{}'", feature.name.text, first.text);
            scope.push(
                Diagnostic::error(feature.name.span, message).related(first.span, "the other one"),
            );
        }
    }
}
