//! The order in which a schema is written.

use crate::schema::{Command, Definition, Event, ModuleId, Schema, Type};

/// A part of the text between blank lines.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    Introduction(&'a str),
    Type(&'a Type),
    Command(&'a Command),
    Event(&'a Event),
}

impl<'a> Item<'a> {
    fn definition(self) -> Option<&'a Definition> {
        match self {
            Self::Introduction(_) => None,
            Self::Type(ty) => Some(&ty.definition),
            Self::Command(command) => Some(&command.definition),
            Self::Event(event) => Some(&event.definition),
        }
    }

    fn location(self) -> (Option<ModuleId>, Option<u32>) {
        self.definition().map_or((None, None), |d| (d.module, d.span.map(|span| span.start)))
    }
}

/// Returns all items in the order in which they are written.
///
/// Types, commands, and events each keep their order. Within a file, they are interleaved by
/// location, after the file's free-form documentation.
pub(super) fn items(schema: &Schema) -> Vec<Item<'_>> {
    let mut kinds: [Vec<Item<'_>>; 3] = [
        schema.types.iter().rev().map(Item::Type).collect(),
        schema.commands.iter().rev().map(Item::Command).collect(),
        schema.events.iter().rev().map(Item::Event).collect(),
    ];
    let mut items = Vec::new();
    let mut introduced = 0;
    let mut file = None;
    // The next item of each list is its last. Finish the current file before starting another.
    while let Some(next) = kinds
        .iter_mut()
        .filter(|kind| !kind.is_empty())
        .min_by_key(|kind| kind.last().map(|item| (item.location().0 != file, item.location())))
        .and_then(Vec::pop)
    {
        file = next.location().0;
        let until = file.map_or(introduced, |file| file.0 as usize + 1);
        introduce(schema, &mut introduced, until, &mut items);
        items.push(next);
    }
    introduce(schema, &mut introduced, schema.modules.len(), &mut items);
    items
}

/// Adds the free-form documentation of the files before index `until`.
fn introduce<'a>(
    schema: &'a Schema,
    introduced: &mut usize,
    until: usize,
    items: &mut Vec<Item<'a>>,
) {
    let until = until.min(schema.modules.len());
    for module in schema.modules.get(*introduced..until).unwrap_or_default() {
        items.extend(module.introduction.iter().map(|text| Item::Introduction(text)));
    }
    *introduced = until.max(*introduced);
}
