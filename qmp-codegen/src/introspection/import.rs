//! Imports introspection as a schema.

use super::error::{ImportError, ImportErrorKind};
use super::names::Names;
use super::naming::{Naming, QTYPE, Unreachable};
use super::raw::{self, Body, Entry, Index, Raw};
use crate::schema::{
    Alternate, Alternative, Arguments, Base, Branch, Builtin, Command, Definition, Enum, EnumValue,
    Event, Feature, Member, Schema, Struct, Type, TypeId, TypeKind, TypeRef, Union,
};
use crate::source::{FileId, Span};

/// Reads a reply to `query-qmp-schema`, either whole or only its array of entries.
///
/// Types get their names from the table `names`. The names of others are derived from the path to
/// them, such as `QueryBlockReturnInserted`. Properties that introspection lacks have their
/// defaults, and bases of unions are inline. If the schema is written as text, the checker accepts
/// it, and it [exports](super::export()) as the same introspection.
///
/// The span of a definition is the location of its entry in `text`, with file id 0.
///
/// ```
/// use qmp_codegen::introspection::{Names, import};
///
/// let reply = r#"[{"meta-type": "command", "name": "park", "arg-type": "0", "ret-type": "0"},
///                 {"meta-type": "object", "name": "0", "members": []}]"#;
/// let schema = import(reply, &Names::none())?;
/// assert_eq!(schema.commands[0].definition.name, "park");
/// # Ok::<(), qmp_codegen::introspection::ImportError>(())
/// ```
///
/// # Errors
///
/// Returns an error with the path in the JSON if the text is not valid JSON or not introspection.
pub fn import(text: &str, names: &Names) -> Result<Schema, ImportError> {
    Import::new(&Raw::parse(text)?, names, Unreachable::Omitted).schema()
}

/// Assigns ids before the conversion, so that references can be forward or cyclic.
fn assign_ids(raw: &Raw, naming: &Naming) -> Vec<Option<TypeId>> {
    let mut next = 0;
    let mut id = |index: Index| {
        naming.names[index].as_ref().filter(|name| *name != QTYPE)?;
        next += 1;
        Some(TypeId(next - 1))
    };
    (0..raw.entries.len()).map(&mut id).collect()
}

/// The conversion of a reply.
pub(super) struct Import<'a> {
    raw: &'a Raw,
    naming: Naming,
    ids: Vec<Option<TypeId>>,
}

impl<'a> Import<'a> {
    pub(super) fn new(raw: &'a Raw, names: &Names, unreachable: Unreachable) -> Self {
        let naming = Naming::new(raw, names, unreachable);
        let ids = assign_ids(raw, &naming);
        Self { raw, naming, ids }
    }

    /// Returns the name of a type in the schema, if it has one.
    pub(super) fn name(&self, index: Index) -> Option<&str> {
        self.naming.names[index].as_deref()
    }

    /// Returns whether a type is the object that represents no arguments and no data.
    pub(super) fn is_empty_object(&self, index: Index) -> bool {
        self.naming.empty == Some(index)
    }

    pub(super) fn schema(&self) -> Result<Schema, ImportError> {
        let mut schema = Schema::default();
        for (index, entry) in self.raw.entries.iter().enumerate() {
            match &entry.body {
                Body::Command { arguments, returns, allow_oob } => schema.commands.push(Command {
                    definition: definition(entry, &entry.name),
                    arguments: self.arguments(*arguments),
                    returns: self.returns(*returns),
                    success_response: true,
                    generated: true,
                    allow_oob: *allow_oob,
                    allow_preconfig: false,
                    coroutine: false,
                    read_only: false,
                }),
                Body::Event { data } => schema.events.push(Event {
                    definition: definition(entry, &entry.name),
                    data: self.arguments(*data),
                }),
                _ if self.ids[index].is_some() => schema.types.push(self.ty(index, entry)?),
                _ => {}
            }
        }
        Ok(schema)
    }

    fn arguments(&self, index: Index) -> Arguments {
        if Some(index) == self.naming.empty {
            return Arguments::Inline(Vec::new());
        }
        match (self.ids[index], self.raw.body(index)) {
            (Some(ty), Body::Object { variants, .. }) => {
                Arguments::Named { ty, boxed: variants.is_some() }
            }
            (None, Body::Object { members, .. }) => Arguments::Inline(self.members(members)),
            _ => Arguments::Inline(Vec::new()),
        }
    }

    fn returns(&self, index: Index) -> Option<TypeRef> {
        Some(self.type_ref(index)).filter(|_| Some(index) != self.naming.empty)
    }

    fn ty(&self, index: Index, entry: &Entry) -> Result<Type, ImportError> {
        let kind = match &entry.body {
            Body::Enum(values) => TypeKind::Enum(Enum {
                values: values.iter().map(enum_value).collect(),
                prefix: None,
            }),
            Body::Alternate(types) => TypeKind::Alternate(self.alternate(index, types)?),
            Body::Object { members, variants } => self.object(members, variants.as_ref()),
            _ => TypeKind::Struct(Struct::default()),
        };
        let name = self.naming.names[index].as_deref().unwrap_or_default();
        Ok(Type { definition: definition(entry, name), kind })
    }

    fn alternate(&self, index: Index, types: &[Index]) -> Result<Alternate, ImportError> {
        let mut alternatives: Vec<Alternative> = Vec::new();
        for ty in types {
            // Introspection does not contain the names of alternatives. Use their JSON types.
            let name = self.raw.json_type(*ty).to_owned();
            if alternatives.iter().any(|other| other.name == name) {
                let path = format!("[{index}].members");
                return Err(ImportError::new(path, ImportErrorKind::Duplicate(name)));
            }
            let ty = self.type_ref(*ty);
            alternatives.push(Alternative { name, ty, doc: String::new(), condition: None });
        }
        Ok(Alternate { alternatives })
    }

    fn object(&self, members: &[raw::Member], variants: Option<&raw::Variants>) -> TypeKind {
        let members = self.members(members);
        let no_branch = || TypeKind::Struct(Struct { base: None, members: members.clone() });
        let Some(variants) = variants else { return no_branch() };
        let branch = |(case, ty): &(String, Index)| {
            let ty = self.ids[*ty].filter(|_| Some(*ty) != self.naming.empty)?;
            Some(Branch { name: case.clone(), ty, condition: None })
        };
        let branches: Vec<Branch> = variants.cases.iter().filter_map(branch).collect();
        // A union in a schema must have a branch. Without any, its values are those of a struct.
        let Some(discriminator_type) = self.ids[variants.values].filter(|_| !branches.is_empty())
        else {
            return no_branch();
        };
        let (base, discriminator) = (Base::Inline(members), variants.tag.clone());
        TypeKind::Union(Union { base, discriminator, discriminator_type, branches })
    }

    fn members(&self, members: &[raw::Member]) -> Vec<Member> {
        let convert = |member: &raw::Member| Member {
            name: member.named.name.clone(),
            ty: self.type_ref(member.ty),
            optional: member.optional,
            doc: String::new(),
            condition: None,
            features: features(&member.named.features),
            secret: false,
        };
        members.iter().map(convert).collect()
    }

    fn type_ref(&self, index: Index) -> TypeRef {
        match (self.raw.body(index), self.ids[index]) {
            (_, Some(id)) => TypeRef::Defined(id),
            (Body::Builtin(builtin), _) => TypeRef::Builtin(*builtin),
            (Body::Array(element), _) => TypeRef::Array(Box::new(self.type_ref(*element))),
            (Body::Enum(_), _) => TypeRef::Builtin(Builtin::QType),
            _ => TypeRef::Builtin(Builtin::Any),
        }
    }
}

fn definition(entry: &Entry, name: &str) -> Definition {
    Definition {
        name: name.to_owned(),
        features: features(&entry.features),
        span: Some(Span { file: FileId(0), start: entry.start, end: entry.end }),
        ..Definition::default()
    }
}

fn enum_value(value: &raw::Named) -> EnumValue {
    EnumValue {
        name: value.name.clone(),
        features: features(&value.features),
        ..EnumValue::default()
    }
}

fn features(names: &[String]) -> Vec<Feature> {
    let feature = |name: &String| Feature { name: name.clone(), ..Feature::default() };
    names.iter().map(feature).collect()
}
