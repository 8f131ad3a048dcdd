//! Takes the documentation out of a schema.

use qmp_codegen::schema::{
    self, Arguments, Base, Builtin, Condition, Schema, SectionKind, TypeId, TypeKind, TypeRef,
};

use super::model::{Branch, Definition, Feature, Kind, Member, Value};
use super::plain::{Plain, plain};

/// Returns the documentation of everything in a schema: commands, then events, then types.
pub fn describe(schema: &Schema) -> Vec<Definition> {
    let describe = Describe { schema };
    let commands = schema.commands.iter().map(|command| describe.command(command));
    let events = schema.events.iter().map(|event| describe.event(event));
    let types = schema.types.iter().map(|ty| describe.ty(ty));
    commands.chain(events).chain(types).collect()
}

struct Describe<'s> {
    schema: &'s Schema,
}

impl Describe<'_> {
    fn command(&self, command: &schema::Command) -> Definition {
        let mut definition = self.definition(&command.definition, Kind::Command);
        self.arguments(&command.arguments, &mut definition);
        definition.returns = command.returns.as_ref().map(|ty| self.name_of(ty));
        let flags = [
            (command.read_only, "Has no effect on the machine."),
            (command.allow_oob, "Can be executed out-of-band: `exec-oob NAME ...`."),
            (command.allow_preconfig, "Available before the machine is built (`--preconfig`)."),
            (!command.success_response, "The machine does not reply on success."),
            (!command.generated, "Takes arguments that the schema does not list."),
        ];
        definition.flags =
            flags.iter().filter(|(holds, _)| *holds).map(|(_, text)| (*text).to_owned()).collect();
        definition
    }

    fn event(&self, event: &schema::Event) -> Definition {
        let mut definition = self.definition(&event.definition, Kind::Event);
        self.arguments(&event.data, &mut definition);
        definition
    }

    fn ty(&self, ty: &schema::Type) -> Definition {
        let kind = match &ty.kind {
            TypeKind::Enum(_) => Kind::Enumeration,
            TypeKind::Struct(_) => Kind::Struct,
            TypeKind::Union(_) => Kind::Union,
            TypeKind::Alternate(_) => Kind::Alternate,
        };
        let mut definition = self.definition(&ty.definition, kind);
        self.members_of(&ty.kind, &mut definition, 0);
        definition
    }

    fn definition(&self, data: &schema::Definition, kind: Kind) -> Definition {
        let mut definition = Definition {
            name: data.name.clone(),
            kind,
            since: data.doc.since.clone(),
            features: features(&data.features),
            condition: data.condition.as_ref().map(condition),
            ..Definition::default()
        };
        let Plain { text, examples } = plain(&data.doc.body);
        definition.text = text;
        definition.examples = examples;
        for section in &data.doc.sections {
            let Plain { text, examples } = plain(&section.text);
            match section.kind {
                SectionKind::Plain => append(&mut definition.text, &text),
                SectionKind::Returns => append(&mut definition.returned, &text),
                SectionKind::Errors => append(&mut definition.errors, &text),
                SectionKind::Note => definition.notes.push(text),
                SectionKind::Example => definition.examples.push(section.text.clone()),
                SectionKind::Todo => continue,
            }
            definition.examples.extend(examples);
        }
        definition
    }

    fn arguments(&self, arguments: &Arguments, definition: &mut Definition) {
        match arguments {
            Arguments::Inline(members) => definition.members = self.members(members),
            Arguments::Named { ty, .. } => {
                if let Some(ty) = self.schema.types.get(ty.0 as usize) {
                    self.members_of(&ty.kind, definition, 0);
                }
            }
        }
    }

    fn members_of(&self, kind: &TypeKind, definition: &mut Definition, depth: usize) {
        let base = |id: TypeId, definition: &mut Definition| {
            let base = self.schema.types.get(id.0 as usize).filter(|_| depth < MAX_BASES);
            if let Some(base) = base {
                self.members_of(&base.kind, definition, depth + 1);
            }
        };
        match kind {
            TypeKind::Enum(values) => {
                let values = values.values.iter().map(|value| Value {
                    name: value.name.clone(),
                    text: plain(&value.doc).text,
                    features: features(&value.features),
                    condition: value.condition.as_ref().map(condition),
                });
                definition.values = values.collect();
            }
            TypeKind::Struct(object) => {
                if let Some(id) = object.base {
                    base(id, definition);
                }
                definition.members.extend(self.members(&object.members));
            }
            TypeKind::Union(union) => {
                match &union.base {
                    Base::Named(id) => base(*id, definition),
                    Base::Inline(members) => definition.members.extend(self.members(members)),
                }
                definition.discriminator = Some(union.discriminator.clone());
                let branches = union.branches.iter().map(|branch| Branch {
                    name: branch.name.clone(),
                    ty: self.name_of(&TypeRef::Defined(branch.ty)),
                    condition: branch.condition.as_ref().map(condition),
                });
                definition.branches = branches.collect();
            }
            TypeKind::Alternate(alternate) => {
                let branches = alternate.alternatives.iter().map(|alternative| Branch {
                    name: alternative.name.clone(),
                    ty: self.name_of(&alternative.ty),
                    condition: alternative.condition.as_ref().map(condition),
                });
                definition.branches = branches.collect();
            }
        }
    }

    fn members(&self, members: &[schema::Member]) -> Vec<Member> {
        let members = members.iter().map(|member| Member {
            name: member.name.clone(),
            ty: self.name_of(&member.ty),
            optional: member.optional,
            secret: member.secret,
            text: plain(&member.doc).text,
            features: features(&member.features),
            condition: member.condition.as_ref().map(condition),
        });
        members.collect()
    }

    fn name_of(&self, ty: &TypeRef) -> String {
        match ty {
            TypeRef::Builtin(builtin) => builtin_name(*builtin).to_owned(),
            TypeRef::Defined(id) => {
                let ty = self.schema.types.get(id.0 as usize);
                ty.map_or_else(String::new, |ty| ty.definition.name.clone())
            }
            TypeRef::Array(element) => format!("[{}]", self.name_of(element)),
        }
    }
}

/// The greatest number of bases of bases. QEMU's schema has five.
const MAX_BASES: usize = 32;

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

fn features(features: &[schema::Feature]) -> Vec<Feature> {
    let features = features
        .iter()
        .map(|feature| Feature { name: feature.name.clone(), text: plain(&feature.doc).text });
    features.collect()
}

fn condition(condition: &Condition) -> String {
    in_words(condition, |symbol| format!("`{symbol}`"))
}

/// Returns a condition in words, with its symbols as `write` writes them.
pub fn in_words(condition: &Condition, write: fn(&str) -> String) -> String {
    let nested = |inner: &Condition| match inner {
        Condition::All(conditions) | Condition::Any(conditions) if conditions.len() > 1 => {
            format!("({})", in_words(inner, write))
        }
        _ => in_words(inner, write),
    };
    let join = |conditions: &[Condition], word: &str| {
        conditions.iter().map(nested).collect::<Vec<_>>().join(word)
    };
    match condition {
        Condition::Symbol(symbol) => write(symbol),
        Condition::All(conditions) => join(conditions, " and "),
        Condition::Any(conditions) => join(conditions, " or "),
        Condition::Not(inner) => format!("not {}", nested(inner)),
    }
}

fn builtin_name(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Str => "str",
        Builtin::Number => "number",
        Builtin::Int => "int",
        Builtin::Int8 => "int8",
        Builtin::Int16 => "int16",
        Builtin::Int32 => "int32",
        Builtin::Int64 => "int64",
        Builtin::Uint8 => "uint8",
        Builtin::Uint16 => "uint16",
        Builtin::Uint32 => "uint32",
        Builtin::Uint64 => "uint64",
        Builtin::Size => "size",
        Builtin::Bool => "bool",
        Builtin::Null => "null",
        Builtin::Any => "any",
        Builtin::QType => "QType",
    }
}
