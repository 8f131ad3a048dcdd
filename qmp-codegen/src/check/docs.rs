//! Checks that documentation is present, belongs to the definition after it, and describes its
//! parts.

use crate::ast::{Body, Definition, Description, Doc, Kind, Name};
use crate::diagnostic::{Diagnostic, Rule, Severity};
use crate::few::Few;
use crate::parse::Pragmas;
use crate::report::{Report, Scope};
use crate::schema::SectionKind;
use crate::similar::did_you_mean;

use super::index::Index;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    for definition in index.definitions() {
        let pragmas = index.pragmas(definition);
        let mut scope = Scope::of(report, definition);
        let name = &definition.name;
        let word = definition.kind().word();
        match &definition.doc {
            None if pragmas.requires_documentation() => {
                let error = Diagnostic::error(name.span, format!("the {word} is not documented"))
                    .help("pragma 'doc-required' requires documentation of every definition");
                scope.push(error.by(Rule::DocMissing));
            }
            None => {}
            Some(doc) if doc.symbol.text == name.text => {
                check_members(definition, doc, pragmas, &mut scope);
                check_features(definition, doc, &mut scope);
                check_sections(definition, doc, pragmas, &mut scope);
            }
            Some(doc) if doc.broken => {}
            Some(doc) => {
                let message = format!(
                    "the documentation before '{}' is for '{}'",
                    name.text, doc.symbol.text
                );
                scope.push(
                    Diagnostic::error(name.span, message)
                        .related(doc.symbol.span, "the name in the documentation"),
                );
            }
        }
    }
}

/// The number of undocumented names that a message lists.
const MAX_LISTED: usize = 10;

fn check_members(definition: &Definition, doc: &Doc, pragmas: &Pragmas, scope: &mut Scope<'_, '_>) {
    let names = documented_names(definition);
    // Fast path: usually, everything is described in the order of the definition.
    let mut described = doc.members.iter();
    if names.len() == doc.members.len()
        && names.iter().all(|name| described.next().is_some_and(|one| one.name.text == name.text))
    {
        return;
    }
    let known = table(&names);
    let what = match &definition.body {
        Body::Enum { .. } => "value",
        Body::Alternate { .. } => "alternative",
        _ => "member",
    };
    reject_unknown(&doc.members, &known, what, scope);
    if doc.broken || pragmas.permits_undocumented(&definition.name.text) {
        return;
    }
    let described = described_names(&doc.members);
    let mut missing = names;
    missing.retain(|name| !described.contains(&name.text));
    let Some(first) = missing.first() else { return };
    let mut list = String::new();
    for name in missing.iter().take(MAX_LISTED) {
        list.push_str(if list.is_empty() { "" } else { ", " });
        list.push_str(&format!("'{}'", name.text));
    }
    let more = if missing.len() > MAX_LISTED { " and others" } else { "" };
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let mut diagnostic =
        Diagnostic::error(first.span, format!("{list}{more} {verb} not documented"));
    if !pragmas.requires_documentation() || pragmas.is_lenient_on_documentation() {
        diagnostic.severity = Severity::Warning;
    }
    let help = "describe each with '@NAME:', or add the definition to pragma \
                'documentation-exceptions'";
    scope.push(diagnostic.help(help).by(Rule::DocMissing));
}

/// Returns the names that documentation must describe: members, values, or alternatives, but not
/// branches.
fn documented_names(definition: &Definition) -> Vec<&Name> {
    let mut names = Vec::new();
    match &definition.body {
        Body::Enum { values, .. } => {
            for value in values {
                names.push(&value.name);
            }
        }
        Body::Alternate { alternatives } => {
            for alternative in alternatives {
                names.push(&alternative.name);
            }
        }
        _ => {
            for member in definition.members() {
                names.push(&member.name);
            }
        }
    }
    names
}

fn table<'a>(names: &[&'a Name]) -> Few<&'a str, ()> {
    let mut table = Few::new();
    for name in names {
        table.insert(name.text.as_str(), ());
    }
    table
}

fn described_names(descriptions: &[Description]) -> Few<&str, ()> {
    let mut table = Few::new();
    for description in descriptions {
        table.insert(description.name.text.as_str(), ());
    }
    table
}

fn check_features(definition: &Definition, doc: &Doc, scope: &mut Scope<'_, '_>) {
    let features = definition.all_features();
    let mut known = Few::new();
    for feature in &features {
        known.insert(feature.name.text.as_str(), ());
    }
    reject_unknown(&doc.features, &known, "feature", scope);
    if doc.broken || known.is_empty() {
        return;
    }
    let mut described = described_names(&doc.features);
    for feature in features {
        // Members that have the same feature share its description, and the error if it is missing.
        if described.insert(&feature.name.text, ()).is_none() {
            let message = format!("feature '{}' is not documented", feature.name.text);
            let error = Diagnostic::error(feature.name.span, message)
                .help("describe it with '@NAME:' after a line 'Features:'");
            scope.push(error.by(Rule::DocMissing));
        }
    }
}

fn reject_unknown(
    described: &[Description],
    known: &Few<&str, ()>,
    what: &str,
    scope: &mut Scope<'_, '_>,
) {
    for Description { name, .. } in described {
        if !known.contains(&name.text) {
            let message =
                format!("the documentation describes {what} '{}', which does not exist", name.text);
            let mut error = Diagnostic::error(name.span, message);
            if !scope.is_full() {
                error.help = did_you_mean(&name.text, known.iter().map(|(name, ())| name));
            }
            scope.push(error.by(Rule::DocUnknownName));
        }
    }
}

fn check_sections(
    definition: &Definition,
    doc: &Doc,
    pragmas: &Pragmas,
    scope: &mut Scope<'_, '_>,
) {
    for section in &doc.sections {
        let (tag, lenient) = match section.kind {
            SectionKind::Returns => ("Returns", false),
            // Before QEMU 9.0, `Errors:` had no meaning.
            SectionKind::Errors => ("Errors", true),
            _ => continue,
        };
        let (message, lenient) = match &definition.body {
            Body::Command(command) if tag == "Returns" && command.returns.is_none() => (
                String::from("unexpected section 'Returns:' of a command that returns nothing"),
                true,
            ),
            Body::Command(_) => continue,
            _ => {
                let kind = definition.kind();
                debug_assert!(kind != Kind::Command);
                (format!("unexpected section '{tag}:', which is only for commands"), lenient)
            }
        };
        let mut diagnostic = Diagnostic::error(section.span, message);
        if lenient && pragmas.is_lenient_on_documentation() {
            diagnostic.severity = Severity::Warning;
        }
        scope.push(diagnostic.by(Rule::DocSection));
    }
}
