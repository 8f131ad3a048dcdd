//! Limits how much larger than its text a schema is: bases and discriminators are written once, and
//! their members and values exist in each type that has them. Introspection lists them all.

use crate::ast::{Body, Definition};
use crate::diagnostic::{Diagnostic, Rule};
use crate::few::Few;
use crate::report::{Report, Scope};

use super::index::Index;

/// The number of inherited members and of discriminator values in all types. QEMU's schema has 2,000.
const MAX_REPEATED: usize = 250_000;

pub(crate) fn check(index: &Index<'_>, report: &mut Report) {
    let mut left = MAX_REPEATED;
    for definition in index.definitions().iter().filter(|one| one.kind().is_type()) {
        let repeated =
            index.inherited_members(definition) + discriminator_values(index, definition);
        let Some(rest) = left.checked_sub(repeated) else {
            let message = format!(
                "the type repeats the members of its bases, or the values of its discriminator, of \
                 which the schema has more than {MAX_REPEATED} in all"
            );
            let error = Diagnostic::error(definition.name.span, message).by(Rule::Limit);
            Scope::of(report, definition).push(error);
            return;
        };
        left = rest;
    }
}

fn discriminator_values<'a>(index: &Index<'a>, definition: &'a Definition) -> usize {
    let Body::Union { discriminator, .. } = &definition.body else { return 0 };
    let member = index.member(definition, &discriminator.text);
    let values = member.and_then(|member| index.values(index.type_of(&member.ty.name.text)?.0));
    values.map_or(0, Few::len)
}
