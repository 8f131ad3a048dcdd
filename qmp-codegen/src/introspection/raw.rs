//! Introspection as received, with every reference resolved and checked.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::error::{ImportError, ImportErrorKind};
use super::node::Node;
use super::reply::{self, Location};
use super::unusual;
use crate::schema::Builtin;
use crate::shape;

/// Every entry, in the order received.
pub(super) struct Raw {
    pub(super) entries: Vec<Entry>,
}

/// An index of [`Raw::entries`].
pub(super) type Index = usize;

pub(super) struct Entry {
    pub(super) name: String,
    pub(super) features: Vec<String>,
    pub(super) body: Body,
    /// The offset of the entry's first byte in the text.
    pub(super) start: u32,
    /// The offset of the byte after the entry.
    pub(super) end: u32,
}

pub(super) enum Body {
    Command { arguments: Index, returns: Index, allow_oob: bool },
    Event { data: Index },
    Builtin(Builtin),
    Enum(Vec<Named>),
    Array(Index),
    Alternate(Vec<Index>),
    Object { members: Vec<Member>, variants: Option<Variants> },
}

pub(super) struct Named {
    pub(super) name: String,
    pub(super) features: Vec<String>,
}

pub(super) struct Member {
    pub(super) named: Named,
    pub(super) ty: Index,
    pub(super) optional: bool,
}

pub(super) struct Variants {
    pub(super) tag: String,
    /// The enumeration type of the tag.
    pub(super) values: Index,
    pub(super) cases: Vec<(String, Index)>,
}

/// The number of values without a case in all objects. QEMU has a case for each.
const MAX_IMPLIED: usize = 250_000;

impl Raw {
    /// Parses the array of entries, or a whole reply that contains it.
    pub(super) fn parse(text: &str) -> Result<Self, ImportError> {
        let (values, locations): (Vec<Value>, Vec<Location>) =
            reply::split(text)?.into_iter().unzip();
        let reader = Reader::new(&values)?;
        let mut entries = Vec::new();
        for (index, (value, (start, end))) in values.iter().zip(locations).enumerate() {
            let node = Node::entry(value, index);
            let name = match reader.is_type(&node)? {
                true => node.member("name")?.text()?.to_owned(),
                false => wire_name(&node.member("name")?)?,
            };
            let (features, body) = (reader.features(&node)?, reader.body(&node)?);
            entries.push(Entry { name, features, body, start, end });
        }
        let raw = Self { entries };
        let mut left = MAX_IMPLIED;
        for (index, value) in values.iter().enumerate() {
            raw.check_cases(index, &Node::entry(value, index), &mut left)?;
        }
        raw.check_endless(&values)?;
        Ok(raw)
    }

    pub(super) fn body(&self, index: Index) -> &Body {
        &self.entries[index].body
    }

    /// Returns the element type of an array, or else the type itself.
    pub(super) fn element(&self, index: Index) -> Index {
        match self.body(index) {
            Body::Array(element) => *element,
            _ => index,
        }
    }

    /// Returns the types that an entry refers to.
    pub(super) fn uses(&self, index: Index) -> Vec<Index> {
        match self.body(index) {
            Body::Command { arguments, returns, .. } => vec![*arguments, *returns],
            Body::Event { data } => vec![*data],
            Body::Builtin(_) | Body::Enum(_) => Vec::new(),
            Body::Array(element) => vec![*element],
            Body::Alternate(types) => types.clone(),
            Body::Object { members, variants } => {
                let cases = variants.iter().flat_map(|variants| &variants.cases);
                let branches = cases.map(|(_, ty)| *ty);
                members.iter().map(|member| member.ty).chain(branches).collect()
            }
        }
    }

    /// Returns commands, events, and the types that are reachable from them.
    pub(super) fn reachable(&self) -> HashSet<Index> {
        let is_root =
            |index: &Index| matches!(self.body(*index), Body::Command { .. } | Body::Event { .. });
        let mut open: Vec<Index> = (0..self.entries.len()).filter(is_root).collect();
        let mut reachable = HashSet::new();
        while let Some(index) = open.pop() {
            if reachable.insert(index) {
                open.extend(self.uses(index));
            }
        }
        reachable
    }

    /// Whether an entry is a type that has a name in a schema.
    pub(super) fn is_definition(&self, index: Index) -> bool {
        matches!(self.body(index), Body::Enum(_) | Body::Object { .. } | Body::Alternate(_))
    }

    /// Whether an entry is an object without features and variants, and so may be inline.
    pub(super) fn is_plain_object(&self, index: Index) -> bool {
        matches!(self.body(index), Body::Object { variants: None, .. })
            && self.entries[index].features.is_empty()
    }

    /// Whether an object's members may be inline. Unusual names need an exception, which only named
    /// types can have.
    pub(super) fn has_usual_members(&self, index: Index) -> bool {
        match self.body(index) {
            Body::Object { members, .. } => {
                !members.iter().any(|member| unusual::is_unusual(&member.named.name))
            }
            _ => true,
        }
    }

    /// Returns the JSON type of a type's values.
    pub(super) fn json_type(&self, index: Index) -> &'static str {
        match self.body(index) {
            Body::Builtin(builtin) => shape::builtin_json_type(*builtin),
            Body::Enum(_) => "string",
            Body::Array(_) => "array",
            _ => "object",
        }
    }

    /// Checks that every case is a value of the enumeration, which may follow the object, and that
    /// no more than `left` values have no case: an export has one for each.
    fn check_cases(
        &self,
        index: Index,
        node: &Node<'_, '_>,
        left: &mut usize,
    ) -> Result<(), ImportError> {
        let Body::Object { variants: Some(variants), .. } = self.body(index) else {
            return Ok(());
        };
        let Body::Enum(values) = self.body(variants.values) else {
            return Ok(());
        };
        let values: HashSet<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let list = node.member("variants")?;
        for variant in list.elements()? {
            let case = variant.member("case")?;
            if !values.contains(case.text()?) {
                return Err(case.expected("a value of the tag's enum type"));
            }
        }
        let implied = values.len().saturating_sub(variants.cases.len());
        *left = left.checked_sub(implied).ok_or_else(|| {
            list.expected("cases for more of the values, of which there are too many without one")
        })?;
        Ok(())
    }

    /// Checks that no object contains itself through its branches, whose members are also members
    /// of the object.
    fn check_endless(&self, values: &[Value]) -> Result<(), ImportError> {
        // The number of branches of each object that may be endless, and the objects of each branch.
        let mut open = vec![0; self.entries.len()];
        let mut within = vec![Vec::new(); self.entries.len()];
        for (index, branch) in self.branches() {
            open[index] += 1;
            within[branch].push(index);
        }
        let mut finite: Vec<Index> = (0..open.len()).filter(|&index| open[index] == 0).collect();
        while let Some(branch) = finite.pop() {
            for &object in &within[branch] {
                open[object] -= 1;
                if open[object] == 0 {
                    finite.push(object);
                }
            }
        }
        open.iter().position(|&branches| branches > 0).map_or(Ok(()), |index| {
            let name = self.entries[index].name.clone();
            Err(Node::entry(&values[index], index).error(ImportErrorKind::Endless(name)))
        })
    }

    fn branches(&self) -> impl Iterator<Item = (Index, Index)> {
        self.entries.iter().enumerate().flat_map(|(index, entry)| {
            let variants = match &entry.body {
                Body::Object { variants, .. } => variants.as_ref(),
                _ => None,
            };
            let cases = variants.into_iter().flat_map(|variants| &variants.cases);
            cases.map(move |(_, branch)| (index, *branch))
        })
    }
}

/// Parses entries. The names of all entries are known beforehand, so that references can be forward.
struct Reader<'a> {
    /// The index of each entry, by name.
    known: HashMap<&'a str, Index>,
    /// The meta-type of each entry.
    meta_types: Vec<&'a str>,
}

const ANY_TYPE: &[&str] = &["builtin", "enum", "array", "object", "alternate"];

impl<'a> Reader<'a> {
    fn new(values: &'a [Value]) -> Result<Self, ImportError> {
        let (mut known, mut meta_types) = (HashMap::new(), Vec::new());
        for (index, value) in values.iter().enumerate() {
            let node = Node::entry(value, index);
            let name = node.member("name")?.text()?;
            meta_types.push(node.member("meta-type")?.text()?);
            if known.insert(name, index).is_some() {
                return Err(node.error(ImportErrorKind::Duplicate(name.to_owned())));
            }
        }
        Ok(Self { known, meta_types })
    }

    fn is_type(&self, node: &Node<'_, '_>) -> Result<bool, ImportError> {
        Ok(ANY_TYPE.contains(&node.member("meta-type")?.text()?))
    }

    fn body(&self, node: &Node<'_, '_>) -> Result<Body, ImportError> {
        let meta_type = node.member("meta-type")?;
        Ok(match meta_type.text()? {
            "command" => Body::Command {
                arguments: self.object_type(&node.member("arg-type")?)?,
                returns: self.any_type(&node.member("ret-type")?)?,
                allow_oob: match node.optional("allow-oob")? {
                    Some(allowed) => allowed.boolean()?,
                    None => false,
                },
            },
            "event" => Body::Event { data: self.object_type(&node.member("arg-type")?)? },
            "builtin" => Body::Builtin(builtin(&node.member("json-type")?)?),
            "enum" => Body::Enum(self.values(node)?),
            "array" => {
                let (kinds, what) =
                    (&["builtin", "enum", "object", "alternate"], "a type other than an array");
                Body::Array(self.reference(&node.member("element-type")?, kinds, what)?)
            }
            "object" => {
                let members = self.members(&node.member("members")?)?;
                let variants = self.variants(node, &members)?;
                Body::Object { members, variants }
            }
            "alternate" => {
                let list = node.member("members")?;
                let types = list.elements()?.map(|one| self.any_type(&one.member("type")?));
                Body::Alternate(types.collect::<Result<_, _>>()?)
            }
            _ => return Err(meta_type.expected("a meta-type")),
        })
    }

    fn values(&self, node: &Node<'_, '_>) -> Result<Vec<Named>, ImportError> {
        let mut values = Vec::new();
        if let Some(members) = node.optional("members")? {
            for member in members.elements()? {
                values.push(self.named(&member)?);
            }
        } else {
            // The only form before QEMU 6.0.
            for value in node.member("values")?.elements()? {
                values.push(Named { name: wire_name(&value)?, features: Vec::new() });
            }
        }
        distinct(node, values.iter().map(|value| value.name.as_str()))?;
        Ok(values)
    }

    fn members(&self, list: &Node<'_, '_>) -> Result<Vec<Member>, ImportError> {
        let mut members = Vec::new();
        for member in list.elements()? {
            members.push(Member {
                named: self.named(&member)?,
                ty: self.any_type(&member.member("type")?)?,
                optional: member.optional("default")?.is_some(),
            });
        }
        distinct(list, members.iter().map(|member| member.named.name.as_str()))?;
        Ok(members)
    }

    fn variants(
        &self,
        node: &Node<'_, '_>,
        members: &[Member],
    ) -> Result<Option<Variants>, ImportError> {
        let (Some(tag), Some(list)) = (node.optional("tag")?, node.optional("variants")?) else {
            return match (node.has("tag")?, node.has("variants")?) {
                (true, _) => Err(node.error(ImportErrorKind::Missing("variants"))),
                (_, true) => Err(node.error(ImportErrorKind::Missing("tag"))),
                _ => Ok(None),
            };
        };
        let name = tag.text()?;
        let values = members
            .iter()
            .find(|member| member.named.name == name && !member.optional)
            .filter(|member| self.meta_types[member.ty] == "enum")
            .ok_or_else(|| tag.expected("the name of a mandatory member of an enum type"))?
            .ty;
        let mut cases = Vec::new();
        for variant in list.elements()? {
            let case = variant.member("case")?.text()?.to_owned();
            cases.push((case, self.object_type(&variant.member("type")?)?));
        }
        distinct(&list, cases.iter().map(|(case, _)| case.as_str()))?;
        Ok(Some(Variants { tag: name.to_owned(), values, cases }))
    }

    fn named(&self, node: &Node<'_, '_>) -> Result<Named, ImportError> {
        Ok(Named { name: wire_name(&node.member("name")?)?, features: self.features(node)? })
    }

    fn features(&self, node: &Node<'_, '_>) -> Result<Vec<String>, ImportError> {
        let Some(list) = node.optional("features")? else { return Ok(Vec::new()) };
        list.elements()?.map(|feature| wire_name(&feature)).collect()
    }

    fn any_type(&self, node: &Node<'_, '_>) -> Result<Index, ImportError> {
        self.reference(node, ANY_TYPE, "a type")
    }

    fn object_type(&self, node: &Node<'_, '_>) -> Result<Index, ImportError> {
        self.reference(node, &["object"], "an object type")
    }

    fn reference(
        &self,
        node: &Node<'_, '_>,
        meta_types: &[&str],
        expected: &'static str,
    ) -> Result<Index, ImportError> {
        let name = node.text()?;
        match self.known.get(name) {
            None => Err(node.error(ImportErrorKind::UnknownType(name.to_owned()))),
            Some(&index) if meta_types.contains(&self.meta_types[index]) => Ok(index),
            Some(_) => {
                let name = name.to_owned();
                Err(node.error(ImportErrorKind::WrongKind { name, expected }))
            }
        }
    }
}

/// Reads a name that can be written in a schema. Whether it is valid there is left to the checker.
fn wire_name(node: &Node<'_, '_>) -> Result<String, ImportError> {
    let name = node.text()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(node.expected("a name of letters, digits, '-', '_', and '.'"));
    }
    Ok(name.to_owned())
}

fn builtin(json_type: &Node<'_, '_>) -> Result<Builtin, ImportError> {
    Ok(match json_type.text()? {
        "string" => Builtin::Str,
        "number" => Builtin::Number,
        "int" => Builtin::Int,
        "boolean" => Builtin::Bool,
        "null" => Builtin::Null,
        "value" => Builtin::Any,
        _ => return Err(json_type.expected("the JSON type of a built-in type")),
    })
}

fn distinct<'a>(
    node: &Node<'_, '_>,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), ImportError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(node.error(ImportErrorKind::Duplicate(name.to_owned())));
        }
    }
    Ok(())
}
