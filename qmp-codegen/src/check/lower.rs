//! Builds the model: resolves names to ids, and attaches descriptions to members and features.

use crate::ast::{self, Definition, Description, Item};
use crate::few::Few;
use crate::report::Report;
use crate::schema::{
    Alternate, Alternative, Arguments, Base, Branch, Command, Doc, Enum, EnumValue, Event, Feature,
    Member, Module, ModuleId, Schema, Section, Struct, Text, Type, TypeId, TypeKind, TypeRef,
    Union,
};
use crate::source::Sources;

use super::index::{Index, Lookup};
use super::secrets::Secrets;

/// Statements of pragmas that QEMU's own generator does not have.
pub(crate) struct Extensions<'a> {
    /// The members that are secret.
    pub(crate) secrets: Secrets<'a>,
    /// The commands that have no effect.
    pub(crate) read_only: Few<&'a str, ()>,
}

/// Builds the model of a schema in which no errors were found.
pub(crate) fn lower<'a>(
    items: &[Item],
    index: &Index<'a>,
    extensions: &Extensions<'a>,
    sources: &Sources,
    report: &mut Report,
) -> Option<Schema> {
    let (mut next, mut ids) = (0, Vec::with_capacity(index.definitions().len()));
    for definition in index.definitions() {
        ids.push(TypeId(next));
        next += u32::from(definition.kind().is_type());
    }
    let lowering = Lowering { index, extensions, ids };
    let mut schema = Schema { modules: modules(items, sources), ..Schema::default() };
    for definition in index.definitions() {
        if lowering.definition(definition, &mut schema).is_none() {
            // Unreachable unless an earlier pass misses an error.
            let message = "internal error: this definition has an error that was not reported";
            report.error(definition.name.span, message);
            return None;
        }
    }
    Some(schema)
}

fn modules(items: &[Item], sources: &Sources) -> Vec<Module> {
    let mut modules = Vec::with_capacity(sources.files().len());
    for file in sources.files() {
        modules.push(Module { path: file.path.display().to_string(), introduction: Vec::new() });
    }
    for item in items {
        let Item::Introduction { file, text } = item else { continue };
        if text.is_empty() {
            continue;
        }
        if let Some(module) = modules.get_mut(file.0 as usize) {
            module.introduction.push(text.clone());
        }
    }
    modules
}

struct Lowering<'i, 'a> {
    index: &'i Index<'a>,
    extensions: &'i Extensions<'a>,
    /// The id of each definition, by index. That of a command or event is meaningless.
    ids: Vec<TypeId>,
}

/// The descriptions in the documentation of a definition.
struct Descriptions<'a> {
    /// The name of the definition.
    definition: &'a str,
    members: Few<&'a str, &'a str>,
    features: Few<&'a str, &'a str>,
}

impl<'a> Descriptions<'a> {
    fn of(definition: &'a Definition) -> Self {
        let table = |descriptions: &'a [Description]| {
            let mut table = Few::with_capacity(descriptions.len());
            for one in descriptions {
                table.insert(one.name.text.as_str(), one.text.as_str());
            }
            table
        };
        let (members, features) = match &definition.doc {
            Some(doc) => (table(&doc.members), table(&doc.features)),
            None => (Few::new(), Few::new()),
        };
        Self { definition: &definition.name.text, members, features }
    }

    fn member(&self, name: &str) -> Text {
        self.members.get(name).copied().unwrap_or_default().to_owned()
    }

    fn features(&self, features: &[ast::Feature]) -> Vec<Feature> {
        let mut described = Vec::with_capacity(features.len());
        for feature in features {
            let doc = self.features.get(feature.name.text.as_str()).copied();
            described.push(Feature {
                name: feature.name.text.clone(),
                doc: doc.unwrap_or_default().to_owned(),
                condition: feature.condition.clone(),
            });
        }
        described
    }
}

impl<'a> Lowering<'_, 'a> {
    fn definition(&self, definition: &'a Definition, schema: &mut Schema) -> Option<()> {
        let docs = Descriptions::of(definition);
        let common = common(definition, &docs);
        let kind = match &definition.body {
            ast::Body::Command(command) => {
                schema.commands.push(self.command(common, command, &docs)?);
                return Some(());
            }
            ast::Body::Event { data } => {
                let data = self.arguments(data, &docs)?;
                schema.events.push(Event { definition: common, data });
                return Some(());
            }
            ast::Body::Enum { values, prefix } => {
                let mut lowered = Vec::with_capacity(values.len());
                for value in values {
                    lowered.push(enum_value(value, &docs));
                }
                TypeKind::Enum(Enum { values: lowered, prefix: prefix.clone() })
            }
            ast::Body::Struct { base, members } => TypeKind::Struct(Struct {
                base: match base {
                    Some(base) => Some(self.type_id(base)?),
                    None => None,
                },
                members: self.members(members, &docs)?,
            }),
            ast::Body::Union { base, discriminator, branches } => {
                TypeKind::Union(self.union(definition, base, discriminator, branches, &docs)?)
            }
            ast::Body::Alternate { alternatives } => {
                let mut lowered = Vec::with_capacity(alternatives.len());
                for alternative in alternatives {
                    lowered.push(self.alternative(alternative, &docs)?);
                }
                TypeKind::Alternate(Alternate { alternatives: lowered })
            }
        };
        schema.types.push(Type { definition: common, kind });
        Some(())
    }

    fn command(
        &self,
        definition: crate::schema::Definition,
        command: &ast::Command,
        docs: &Descriptions<'_>,
    ) -> Option<Command> {
        Some(Command {
            read_only: self.extensions.read_only.contains(definition.name.as_str()),
            definition,
            arguments: self.arguments(&command.data, docs)?,
            returns: match &command.returns {
                Some(returns) => Some(self.type_ref(returns)?),
                None => None,
            },
            success_response: command.success_response,
            generated: command.generated,
            allow_oob: command.allow_oob,
            allow_preconfig: command.allow_preconfig,
            coroutine: command.coroutine,
        })
    }

    fn union(
        &self,
        definition: &'a Definition,
        base: &ast::Base,
        discriminator: &ast::Name,
        branches: &[ast::Branch],
        docs: &Descriptions<'_>,
    ) -> Option<Union> {
        let mut lowered = Vec::with_capacity(branches.len());
        for branch in branches {
            lowered.push(Branch {
                name: branch.name.text.clone(),
                ty: self.type_id(&branch.ty)?,
                condition: branch.condition.clone(),
            });
        }
        Some(Union {
            base: match base {
                ast::Base::Named(base) => Base::Named(self.type_id(base)?),
                ast::Base::Inline(members) => Base::Inline(self.members(members, docs)?),
            },
            discriminator: discriminator.text.clone(),
            discriminator_type: self.discriminator_type(definition, discriminator)?,
            branches: lowered,
        })
    }

    fn discriminator_type(
        &self,
        union: &'a Definition,
        discriminator: &ast::Name,
    ) -> Option<TypeId> {
        let member = self.index.member(union, &discriminator.text)?;
        self.type_id(&member.ty.name)
    }

    fn alternative(
        &self,
        alternative: &ast::Alternative,
        docs: &Descriptions<'_>,
    ) -> Option<Alternative> {
        Some(Alternative {
            name: alternative.name.text.clone(),
            ty: self.type_ref(&alternative.ty)?,
            doc: docs.member(&alternative.name.text),
            condition: alternative.condition.clone(),
        })
    }

    fn arguments(&self, data: &ast::Data, docs: &Descriptions<'_>) -> Option<Arguments> {
        Some(match data {
            ast::Data::Inline(members) => Arguments::Inline(self.members(members, docs)?),
            ast::Data::Named { ty, boxed } => {
                Arguments::Named { ty: self.type_id(ty)?, boxed: *boxed }
            }
        })
    }

    fn members(&self, members: &[ast::Member], docs: &Descriptions<'_>) -> Option<Vec<Member>> {
        let mut lowered = Vec::with_capacity(members.len());
        for member in members {
            lowered.push(Member {
                name: member.name.text.clone(),
                ty: self.type_ref(&member.ty)?,
                optional: member.optional,
                doc: docs.member(&member.name.text),
                condition: member.condition.clone(),
                features: docs.features(&member.features),
                secret: self.extensions.secrets.contains(docs.definition, &member.name.text),
            });
        }
        Some(lowered)
    }

    fn type_ref(&self, ty: &ast::TypeName) -> Option<TypeRef> {
        let name = match self.index.lookup(&ty.name.text) {
            Lookup::Builtin(builtin) => TypeRef::Builtin(builtin),
            Lookup::Type(position, _) => TypeRef::Defined(*self.ids.get(position)?),
            Lookup::NoType(_) | Lookup::Broken | Lookup::Missing => return None,
        };
        Some(if ty.array { TypeRef::Array(Box::new(name)) } else { name })
    }

    fn type_id(&self, name: &ast::Name) -> Option<TypeId> {
        let (position, _) = self.index.type_of(&name.text)?;
        self.ids.get(position).copied()
    }
}

fn common(definition: &Definition, docs: &Descriptions<'_>) -> crate::schema::Definition {
    let name = &definition.name;
    let mut described = Doc::default();
    if let Some(doc) = &definition.doc {
        described.body.clone_from(&doc.body);
        described.since.clone_from(&doc.since);
        for section in &doc.sections {
            described.sections.push(Section { kind: section.kind, text: section.text.clone() });
        }
    }
    crate::schema::Definition {
        name: name.text.clone(),
        doc: described,
        condition: definition.condition.clone(),
        features: docs.features(&definition.features),
        module: Some(ModuleId(name.span.file.0)),
        span: Some(name.span),
    }
}

fn enum_value(value: &ast::Value, docs: &Descriptions<'_>) -> EnumValue {
    EnumValue {
        name: value.name.text.clone(),
        doc: docs.member(&value.name.text),
        condition: value.condition.clone(),
        features: docs.features(&value.features),
    }
}
