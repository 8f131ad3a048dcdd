//! In which order a schema is written.

use crate::schema::{Command, Definition, Event, ModuleId, Schema, Type};

/// What stands between blank lines.
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

    fn place(self) -> (Option<ModuleId>, Option<u32>) {
        self.definition().map_or((None, None), |d| (d.module, d.span.map(|span| span.start)))
    }
}

/// Everything that is written. Types, commands and events each keep their order, and stand among
/// each other as they do in their file; what introduces a file comes before what is in it.
pub(super) fn items(schema: &Schema) -> Vec<Item<'_>> {
    let mut kinds: [Vec<Item<'_>>; 3] = [
        schema.types.iter().rev().map(Item::Type).collect(),
        schema.commands.iter().rev().map(Item::Command).collect(),
        schema.events.iter().rev().map(Item::Event).collect(),
    ];
    let mut items = Vec::new();
    let mut introduced = 0;
    let mut file = None;
    // The last of each list is the next; a file that has been begun is ended first.
    while let Some(next) = kinds
        .iter_mut()
        .filter(|kind| !kind.is_empty())
        .min_by_key(|kind| kind.last().map(|item| (item.place().0 != file, item.place())))
        .and_then(Vec::pop)
    {
        file = next.place().0;
        let until = file.map_or(introduced, |file| file.0 as usize + 1);
        introduce(schema, &mut introduced, until, &mut items);
        items.push(next);
    }
    introduce(schema, &mut introduced, schema.modules.len(), &mut items);
    items
}

/// In the order of the files, up to a file.
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
