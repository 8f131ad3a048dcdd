//! The table of names for the types of masked introspection.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::spelling;
use crate::schema::{Arguments, Builtin, Schema, TypeKind, TypeRef};
use crate::shape;

/// A table of type names, indexed by the steps that lead to them from commands and events.
///
/// Introspection masks the names of types, but not those of commands, events, and members. For each
/// command, event, and type, the table contains the names of the types that it refers to:
///
/// ```json
/// {
///   "query-block": {"(returns)": "BlockInfo"},
///   "blockdev-add": {"(arguments)": "BlockdevOptions"},
///   "blockdev-mirror": {"sync": "MirrorSyncMode"},
///   "BlockInfo": {"inserted": "BlockDeviceInfo"},
///   "BlockdevOptions": {"driver": "BlockdevDriver", "(case qcow2)": "BlockdevOptionsQcow2"},
///   "BlockdevRef": {"(object)": "BlockdevOptions", "(string)": "str"}
/// }
/// ```
///
/// A step is the name of a member, `(arguments)`, `(returns)`, `(case VALUE)` for a branch of a
/// union, or the JSON type of an alternative. From an array to its elements, no step is needed. A
/// table from another release can be used too: types that it lacks get a name derived from the path.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    steps: BTreeMap<String, BTreeMap<String, String>>,
}

/// The error for a text that is not a table of names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamesError(String);

impl fmt::Display for NamesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid table of names: {}", self.0)
    }
}

impl std::error::Error for NamesError {}

impl Names {
    /// Returns an empty table, so that all names are derived from paths.
    ///
    /// ```
    /// use qmp_codegen::introspection::Names;
    ///
    /// assert_eq!(Names::none().to_json(), serde_json::json!({}));
    /// ```
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Returns the names in a schema.
    ///
    /// ```
    /// use qmp_codegen::introspection::{Names, Naming, export, import};
    /// use qmp_codegen::{Root, load};
    ///
    /// let text = "{ 'struct': 'Car', 'data': { 'plate': 'str' } } { 'command': 'last', 'returns': 'Car' }";
    /// let schema = load([Root::Text { name: "garage.json".into(), text: text.into() }])?.schema;
    /// // QEMU's reply has numbers in place of names, which the schema knows.
    /// let reply = export(&schema, Naming::Masked, &|_| true).to_string();
    /// let imported = import(&reply, &Names::from_schema(&schema))?;
    /// assert!(imported.types.iter().any(|ty| ty.definition.name == "Car"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn from_schema(schema: &Schema) -> Self {
        let mut names = Self::default();
        for command in &schema.commands {
            names.add_arguments(schema, &command.definition.name, &command.arguments);
            if let Some(returns) = &command.returns {
                names.add(schema, &command.definition.name, RETURNS, returns);
            }
        }
        for event in &schema.events {
            names.add_arguments(schema, &event.definition.name, &event.data);
        }
        for index in 0..schema.types.len() {
            names.add_type(schema, index);
        }
        names
    }

    /// Reads a table from JSON.
    ///
    /// ```
    /// use qmp_codegen::introspection::Names;
    ///
    /// let names = Names::from_json(r#"{"last": {"return": "Car"}}"#)?;
    /// assert_eq!(names.to_json()["last"]["return"], "Car");
    /// # Ok::<(), qmp_codegen::introspection::NamesError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the text is not a JSON object of objects of strings, or contains an
    /// invalid type name.
    pub fn from_json(text: &str) -> Result<Self, NamesError> {
        let steps: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(text).map_err(|error| NamesError(error.to_string()))?;
        let built_in = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
        let mut all = steps.values().flat_map(BTreeMap::values);
        match all.find(|name| !built_in(name) && !spelling::is_type_name(name)) {
            Some(name) => Err(NamesError(format!("'{name}' is not a valid name of a type"))),
            None => Ok(Self { steps }),
        }
    }

    /// Returns the table as JSON, which [`Names::from_json`] reads.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let object = |steps: &BTreeMap<String, String>| {
            steps.iter().map(|(step, name)| (step.clone(), Value::from(name.as_str()))).collect()
        };
        Value::Object(self.steps.iter().map(|(owner, s)| (owner.clone(), object(s))).collect())
    }

    /// Returns the name of the type that a step leads to.
    pub(super) fn step(&self, owner: &str, step: &str) -> Option<&str> {
        self.steps.get(owner)?.get(step).map(String::as_str)
    }

    /// Whether a name refers to an alternate.
    pub(super) fn is_alternate(&self, owner: &str) -> bool {
        JSON_TYPES.iter().any(|json_type| self.step(owner, &alternative(json_type)).is_some())
    }

    /// Whether the table contains the steps from a name.
    pub(super) fn has_steps(&self, owner: &str) -> bool {
        self.steps.contains_key(owner)
    }

    fn add_arguments(&mut self, schema: &Schema, owner: &str, arguments: &Arguments) {
        match arguments {
            Arguments::Named { ty, .. } => {
                self.add(schema, owner, ARGUMENTS, &TypeRef::Defined(*ty));
            }
            Arguments::Inline(members) => {
                for member in members {
                    self.add(schema, owner, &member.name, &member.ty);
                }
            }
        }
    }

    fn add_type(&mut self, schema: &Schema, index: usize) {
        let Some(id) = u32::try_from(index).ok().map(crate::schema::TypeId) else { return };
        let ty = shape::type_of(schema, id);
        let owner = &ty.definition.name;
        for member in shape::common_members(schema, id) {
            self.add(schema, owner, &member.name, &member.ty);
        }
        match &ty.kind {
            TypeKind::Union(union) => {
                for branch in &union.branches {
                    self.add(schema, owner, &case(&branch.name), &TypeRef::Defined(branch.ty));
                }
            }
            TypeKind::Alternate(alternate) => {
                for alternative in &alternate.alternatives {
                    let step = self::alternative(shape::json_type(schema, &alternative.ty));
                    self.insert(owner, &step, name_of(schema, &alternative.ty));
                }
            }
            TypeKind::Enum(_) | TypeKind::Struct(_) => {}
        }
    }

    fn add(&mut self, schema: &Schema, owner: &str, step: &str, ty: &TypeRef) {
        match shape::innermost(ty).0 {
            TypeRef::Builtin(builtin) if *builtin != Builtin::QType => {}
            named => self.insert(owner, step, name_of(schema, named)),
        }
    }

    fn insert(&mut self, owner: &str, step: &str, name: &str) {
        let steps = self.steps.entry(owner.to_owned()).or_default();
        steps.insert(step.to_owned(), name.to_owned());
    }
}

pub(super) const ARGUMENTS: &str = "(arguments)";
pub(super) const RETURNS: &str = "(returns)";

const JSON_TYPES: [&str; 8] =
    ["object", "string", "array", "integer", "number", "boolean", "null", "any"];

/// Returns the step to a branch.
pub(super) fn case(value: &str) -> String {
    format!("(case {value})")
}

/// Returns the step to an alternative.
pub(super) fn alternative(json_type: &str) -> String {
    format!("({json_type})")
}

fn name_of<'a>(schema: &'a Schema, ty: &TypeRef) -> &'a str {
    match shape::innermost(ty).0 {
        TypeRef::Defined(id) => &shape::type_of(schema, *id).definition.name,
        TypeRef::Builtin(builtin) => shape::builtin_name(*builtin),
        TypeRef::Array(_) => "",
    }
}
