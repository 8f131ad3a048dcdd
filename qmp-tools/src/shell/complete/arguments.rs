//! Completion of arguments: their keys, and their values.

use super::json::{Root, json_text};
use super::kinds::kind_of;
use super::place::{Place, object_of};
use super::{Candidate, Completer, Completion, Kind};
use crate::reference::{self, first_sentence};
use crate::shell::syntax::words::Word;
use crate::shell::types::{Member, Owner, Shape};

impl<'a> Completer<'a> {
    /// Completes the word of an argument.
    pub(super) fn argument(&self, place: &Place<'a>, word: Word<'a>) -> Completion {
        match word.argument() {
            None => self.key(place, word),
            Some((key, _, value)) => self.value(place, key.text, value),
        }
    }

    fn key(&self, place: &Place<'a>, word: Word<'a>) -> Completion {
        let (path, prefix) = match word.text.rsplit_once('.') {
            Some((path, prefix)) => (path.split('.').collect(), prefix),
            None => (Vec::new(), word.text),
        };
        let start = word.end() - prefix.len();
        let schema = self.types.schema();
        let object = place.object(schema, &path);
        let mut members =
            object.map(|object| place.members(schema, object, &path)).unwrap_or_default();
        let tag = object.and_then(|object| object.tag.as_deref());
        members.retain(|member| {
            let is_object = object_of(schema, member.ty).is_some();
            let given = place.given.has(&path, member.name)
                || place.given.has_members(&path, member.name) && !is_object;
            !given && member.name.starts_with(prefix)
        });
        members.sort_by_key(|member| {
            let is_deprecated = member.features.iter().any(|feature| feature == "deprecated");
            (Some(member.name) != tag, member.optional, is_deprecated)
        });
        let documented = place.documented(self.types.reference(), &path);
        let mut candidates = Vec::new();
        for member in members {
            self.key_candidates(place, &path, member, &documented, &mut candidates);
        }
        if path.is_empty() {
            self.properties(place, prefix, &mut candidates);
        }
        let end = self.name_end();
        if self.text.get(end..).is_some_and(|after| after.starts_with('=')) {
            candidates.iter_mut().for_each(|candidate| candidate.then = None);
        }
        Completion { span: start..end, candidates }
    }

    /// Adds a member: `name=`, and `name.` if it has members.
    fn key_candidates(
        &self,
        place: &Place<'a>,
        path: &[&str],
        member: Member<'_>,
        documented: &[reference::Member],
        candidates: &mut Vec<Candidate>,
    ) {
        let schema = self.types.schema();
        let documentation = documented.iter().find(|known| known.name == member.name);
        let description = describe(member, documentation);
        let is_object = matches!(schema.shape(member.ty), Shape::Object(_));
        let has_members = is_object || object_of(schema, member.ty).is_some();
        let is_list = matches!(schema.shape(member.ty), Shape::Array(_));
        if !is_object && !place.given.has_members(path, member.name) {
            candidates.push(Candidate {
                insert: member.name.to_owned(),
                description: description.clone(),
                then: Some('='),
            });
        }
        if has_members && !is_list {
            candidates.push(Candidate {
                insert: format!("{}.", member.name),
                description,
                then: None,
            });
        }
    }

    /// Adds the properties of the device or object that is to be created.
    fn properties(&self, place: &Place<'a>, prefix: &str, candidates: &mut Vec<Candidate>) {
        let known: Vec<Candidate> = match place.command {
            "device_add" => match place.given.value(&[], "driver") {
                Some(driver) => {
                    let known = self.live.candidates(Kind::DriverProperty(&driver));
                    if known.is_empty() { self.owned(Owner::Device(&driver)) } else { known }
                }
                None => return,
            },
            "object-add" if candidates.is_empty() => match place.given.value(&[], "qom-type") {
                Some(ty) => self.live.candidates(Kind::ObjectProperty(&ty)),
                None => return,
            },
            _ => return,
        };
        let new: Vec<_> = known
            .into_iter()
            .filter(|known| {
                known.insert.starts_with(prefix)
                    && !place.given.has(&[], &known.insert)
                    && !place.given.has_members(&[], &known.insert)
                    && !candidates.iter().any(|candidate| candidate.insert == known.insert)
            })
            .map(|known| Candidate { then: Some('='), ..known })
            .collect();
        candidates.extend(new);
    }

    fn owned(&self, owner: Owner<'_>) -> Vec<Candidate> {
        let properties = self.types.properties(owner);
        let properties = properties.as_deref().unwrap_or_default().iter();
        let candidates = properties.map(|property| {
            let text = property.description.as_deref().unwrap_or_default();
            Candidate::new(property.name.as_str(), format!("{} {text}", property.type_).trim_end())
        });
        candidates.collect()
    }

    fn value(&self, place: &Place<'a>, key: &'a str, value: Word<'a>) -> Completion {
        let mut path: Vec<&str> = key.split('.').collect();
        let name = path.pop().unwrap_or_default();
        let schema = self.types.schema();
        let object = place.object(schema, &path);
        let member = object.and_then(|object| place.member(schema, object, &path, name));
        if value.text.starts_with(['{', '[']) {
            let ty = member.map(|member| member.ty);
            return self.json(value.start, Root::Value { command: place.command, ty });
        }
        let quote = value.text.chars().next().filter(|c| matches!(c, '"' | '\''));
        let prefix = value.text.trim_start_matches(['"', '\'']);
        let mut candidates = match member {
            Some(member) => self.values(place, &path, name, member.ty, prefix),
            None => self.property_values(place, name, prefix),
        };
        candidates.retain(|candidate| candidate.insert.starts_with(prefix));
        for candidate in &mut candidates {
            candidate.insert = in_quotes(&candidate.insert, quote, candidate.then);
        }
        Completion { span: value.start..self.cursor, candidates }
    }

    /// Returns the values that a member of a type can have.
    pub(super) fn values(
        &self,
        place: &Place<'a>,
        path: &[&str],
        name: &str,
        ty: &str,
        prefix: &str,
    ) -> Vec<Candidate> {
        let schema = self.types.schema();
        match schema.shape(ty) {
            Shape::Enumeration(values) => {
                let documentation = self.values_of(place, path, name);
                let candidate = |value: &str| {
                    let known = documentation.iter().find(|known| known.name == value);
                    let text = known.map(|known| first_sentence(&known.text));
                    Candidate::new(value, text.unwrap_or_default())
                };
                values.iter().map(|value| candidate(&value.name)).collect()
            }
            Shape::Boolean => ["true", "false"].map(|value| Candidate::new(value, "")).into(),
            Shape::Null => vec![Candidate::new("null", "")],
            Shape::Alternate(alternatives) => {
                let mut candidates = Vec::new();
                for alternative in alternatives {
                    candidates.extend(self.values(place, path, name, &alternative.type_, prefix));
                }
                candidates
            }
            Shape::Array(element) if !matches!(schema.shape(element), Shape::Array(_)) => {
                let candidates = self.values(place, path, name, element, prefix);
                let in_list = |candidate: Candidate| Candidate {
                    insert: format!("[{}]", json_text(&candidate.insert)),
                    ..candidate
                };
                candidates.into_iter().map(in_list).collect()
            }
            Shape::String => match kind_of(place, path, name, prefix) {
                Some(kind) => kind.ask(self.live),
                None => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Returns the documentation of the values of a member.
    fn values_of(&self, place: &Place<'_>, path: &[&str], name: &str) -> Vec<reference::Value> {
        let reference = self.types.reference();
        let members = place.documented(reference, path);
        let member = members.into_iter().find(|member| member.name == name);
        let ty = member.and_then(|member| reference.find(member.ty.trim_matches(['[', ']'])));
        ty.map(|ty| ty.values).unwrap_or_default()
    }

    /// Returns the values of a property of a device.
    fn property_values(&self, place: &Place<'a>, name: &str, prefix: &str) -> Vec<Candidate> {
        let named = kind_of(place, &[], name, prefix).map(|kind| kind.ask(self.live));
        if let Some(named) = named.filter(|named| !named.is_empty()) {
            return named;
        }
        let driver = place.given.value(&[], "driver").unwrap_or_default();
        let properties = self.types.properties(Owner::Device(&driver));
        let properties = properties.as_deref().unwrap_or_default();
        match properties.iter().find(|property| property.name == name) {
            Some(property) if property.type_ == "bool" => {
                ["true", "false"].map(|value| Candidate::new(value, "")).into()
            }
            Some(property) if property.type_ == "OnOffAuto" => {
                ["on", "off", "auto"].map(|value| Candidate::new(value, "")).into()
            }
            // Some descriptions list the values of an enumeration: `a/b/c`.
            Some(property) => property
                .description
                .as_deref()
                .filter(|text| text.contains('/') && !text.contains(' '))
                .map(|text| text.split('/').map(|value| Candidate::new(value, "")).collect())
                .unwrap_or_default(),
            None => Vec::new(),
        }
    }
}

/// Describes a member on one line.
fn describe(member: Member<'_>, documentation: Option<&reference::Member>) -> String {
    let mut description = String::new();
    if let Some(documentation) = documentation {
        description.push_str(&documentation.ty);
    }
    if !member.optional {
        description.push_str(if description.is_empty() { "mandatory" } else { ", mandatory" });
    }
    if let Some(feature) = member.features.first() {
        description.push_str(&format!(" ({feature})"));
    }
    let text = documentation.map(|documentation| first_sentence(&documentation.text));
    match text {
        Some(text) if !text.is_empty() => format!("{description}: {text}"),
        _ => description.trim_start_matches(", ").to_owned(),
    }
}

/// Returns a value as it is written: in quotes if it begins with one, or if it needs them.
fn in_quotes(value: &str, quote: Option<char>, then: Option<char>) -> String {
    let needs = value.is_empty()
        || value.starts_with(['#', '{', '[', '"', '\''])
        || value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '\'');
    let is_list = value.starts_with('[') && value.ends_with(']');
    match quote {
        None if !needs || is_list => value.to_owned(),
        // What is not complete is not closed.
        _ if then.is_none() => match quote {
            Some(quote) => format!("{quote}{value}"),
            None => value.to_owned(),
        },
        Some('\'') if !value.contains(['\'', '\\']) => format!("'{value}'"),
        _ => json_text(value),
    }
}
