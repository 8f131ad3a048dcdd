//! Gives arguments their types, which the schema tells.

use std::ops::Range;
use std::sync::Arc;

use qmp_types::qmp::types::ObjectPropertyInfo;
use serde_json::{Map, Value};

use super::SyntaxError;
use super::arguments::{Entry, Source};
use super::guess::guess;
use super::literal::{self, Kind, Literal};
use super::scalar::{self, Expected};
use super::words::Word;
use crate::shell::complete::did_you_mean;
use crate::shell::types::{Owner, Schema, Shape, Types};

/// Gives the arguments of one command their types.
pub(super) struct Typing<'a> {
    pub(super) text: &'a str,
    pub(super) types: &'a dyn Types,
    /// The command or action.
    pub(super) command: &'a str,
}

/// Where a value is: its name as a person would write it, which errors show.
#[derive(Clone, Copy)]
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    name: &'p str,
}

impl Place<'_> {
    fn path(self) -> String {
        match self.parent {
            Some(parent) => format!("{}.{}", parent.path(), self.name),
            None => self.name.to_owned(),
        }
    }
}

impl<'a> Typing<'a> {
    fn schema(&self) -> &'a Schema {
        self.types.schema()
    }

    /// Returns the arguments of a command whose arguments have a type. Without a type, nothing is
    /// known of them.
    pub(super) fn arguments(
        &self,
        entries: &[Entry<'_>],
        ty: Option<&str>,
    ) -> Result<Value, SyntaxError> {
        match ty.map(|ty| self.schema().shape(ty)) {
            Some(Shape::Object(_)) => self.object(entries, ty.unwrap_or_default(), None),
            _ => self.untyped(entries),
        }
    }

    /// Returns a value of a type.
    pub(super) fn value(&self, word: Word<'_>, name: &str, ty: &str) -> Result<Value, SyntaxError> {
        self.convert(&Source::Text(word), ty, Place { parent: None, name })
    }

    fn object(
        &self,
        entries: &[Entry<'_>],
        ty: &str,
        place: Option<Place<'_>>,
    ) -> Result<Value, SyntaxError> {
        let Shape::Object(object) = self.schema().shape(ty) else { return self.untyped(entries) };
        let value_of = |tag: &str| {
            let entry = entries.iter().find(|entry| entry.name == tag)?;
            self.text_of(&entry.source)
        };
        let members = self.schema().members(object, &value_of);
        let mut result = Map::new();
        for entry in entries {
            let inner = Place { parent: place.as_ref(), name: &entry.name };
            let member = members.iter().find(|member| member.name == entry.name);
            let value = match (member, &entry.source) {
                (Some(member), source) => self.convert(source, member.ty, inner)?,
                (None, Source::Verbatim(literal)) => literal.to_json()?,
                (None, source) if place.is_none() && self.is_open() => {
                    self.property(entries, entry, source, inner)?
                }
                (None, source) => match self.elsewhere(object, entry) {
                    Some(ty) => self.convert(source, ty, inner)?,
                    None if self.schema().is_live() => {
                        let known = members.iter().map(|member| member.name);
                        return Err(self.unknown(entry, place, known));
                    }
                    None => self.guessed(source)?,
                },
            };
            result.insert(entry.name.clone(), value);
        }
        // A value of any type, which the property tells.
        if self.command == "qom-set" && place.is_none() {
            self.type_of_property(entries, &mut result)?;
        }
        Ok(Value::Object(result))
    }

    /// Returns the type of a member that only branches have that are not selected. If the
    /// discriminator is missing, this is what the machine complains about.
    fn elsewhere(
        &self,
        object: &'a qmp_types::qmp::types::SchemaInfoObject,
        entry: &Entry<'_>,
    ) -> Option<&'a str> {
        let mut all = self.schema().all_members(object).into_iter();
        all.find(|member| member.name == entry.name).map(|member| member.ty)
    }

    /// Returns whether the command takes arguments that the schema does not list.
    fn is_open(&self) -> bool {
        matches!(self.command, "device_add" | "object-add" | "netdev_add")
    }

    /// Returns a property of the device or object that a command creates.
    fn property(
        &self,
        entries: &[Entry<'_>],
        entry: &Entry<'_>,
        source: &Source<'_>,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        let text_of = |name: &str| {
            let entry = entries.iter().find(|entry| entry.name == name)?;
            self.text_of(&entry.source)
        };
        let (driver, object) = (text_of("driver"), text_of("qom-type"));
        let owner = match (self.command, &driver, &object) {
            ("device_add", Some(driver), _) => Some(Owner::Device(driver)),
            ("object-add", _, Some(object)) => Some(Owner::Type(object)),
            _ => None,
        };
        let properties = owner.and_then(|owner| self.types.properties(owner));
        let Some(properties) = properties else {
            if self.command != "device_add" && self.schema().is_live() {
                return Err(self.unknown(entry, None, std::iter::empty()));
            }
            return self.guessed(source);
        };
        let property = properties.iter().find(|property| property.name == entry.name);
        match property {
            Some(property) => self.of_property(source, &property.type_, place),
            // An array property has a member for each element, and some properties are hidden.
            None => {
                let names = properties.iter().map(|property| property.name.as_str());
                if did_you_mean(&entry.name, names.clone()).is_some() {
                    return Err(self.unknown(entry, None, names));
                }
                self.guessed(source)
            }
        }
    }

    /// Returns a property of a QOM type, such as `uint32`, `bool`, `str` or the name of an enumeration.
    fn of_property(
        &self,
        source: &Source<'_>,
        ty: &str,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        match scalar::of_property(ty) {
            Some(expected) => self.scalar(source, &expected, place),
            None => match source {
                Source::Text(word) if word.text.starts_with(['[', '{']) => self.guessed(source),
                Source::Text(word) => self.plain(*word).map(Value::String),
                _ => self.guessed(source),
            },
        }
    }

    /// Gives the value of `qom-set` the type that the property has.
    fn type_of_property(
        &self,
        entries: &[Entry<'_>],
        result: &mut Map<String, Value>,
    ) -> Result<(), SyntaxError> {
        let (Some(Value::String(path)), Some(Value::String(name))) =
            (result.get("path"), result.get("property"))
        else {
            return Ok(());
        };
        let properties: Option<Arc<[ObjectPropertyInfo]>> =
            self.types.properties(Owner::Path(path));
        let Some(properties) = properties else { return Ok(()) };
        let property = properties.iter().find(|property| property.name == *name);
        let entry = entries.iter().find(|entry| entry.name == "value");
        if let (Some(property), Some(entry)) = (property, entry) {
            if !matches!(entry.source, Source::Verbatim(_)) {
                let place = Place { parent: None, name: "value" };
                let value = self.of_property(&entry.source, &property.type_, place)?;
                result.insert(String::from("value"), value);
            }
        }
        Ok(())
    }

    fn untyped(&self, entries: &[Entry<'_>]) -> Result<Value, SyntaxError> {
        let mut object = Map::new();
        for entry in entries {
            object.insert(entry.name.clone(), self.guessed(&entry.source)?);
        }
        Ok(Value::Object(object))
    }

    fn guessed(&self, source: &Source<'_>) -> Result<Value, SyntaxError> {
        match source {
            Source::Text(word) => guess(self.text, *word),
            Source::Literal(literal) | Source::Verbatim(literal) => literal.to_json(),
            Source::Members(entries) => self.untyped(entries),
        }
    }

    fn convert(
        &self,
        source: &Source<'_>,
        ty: &str,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        if let Source::Verbatim(literal) = source {
            return literal.to_json();
        }
        match self.schema().shape(ty) {
            Shape::Any => self.guessed(source),
            Shape::Object(_) => self.of_object(source, ty, place),
            Shape::Array(element) => self.array(source, element, place),
            Shape::Alternate(_) => self.alternate(source, ty, place),
            shape => {
                let bytes = crate::reference::is_size(self.command, place.name);
                self.scalar(source, &Expected::of(shape, bytes, self.schema()), place)
            }
        }
    }

    fn scalar(
        &self,
        source: &Source<'_>,
        expected: &Expected<'_>,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        let converted = match source {
            Source::Text(word) => {
                let quoted = literal::unquoted(self.text, word.span()).transpose()?;
                expected.of_text(quoted.as_deref().unwrap_or(word.text), quoted.is_some())
            }
            Source::Literal(literal) | Source::Verbatim(literal) => expected.of_literal(literal),
            Source::Members(_) => None,
        };
        converted.ok_or_else(|| self.mismatch(source, expected, place))
    }

    fn of_object(
        &self,
        source: &Source<'_>,
        ty: &str,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        match source {
            Source::Members(entries) => self.object(entries, ty, Some(place)),
            Source::Literal(Literal { kind: Kind::Object(members), .. }) => {
                let entries: Vec<_> = members.iter().map(entry).collect();
                self.object(&entries, ty, Some(place))
            }
            Source::Text(word) if word.text.starts_with('{') => {
                let literal = literal::whole(self.text, word.span())?;
                self.of_object(&Source::Literal(literal), ty, place)
            }
            _ => {
                let path = place.path();
                let message = format!("{}, found {}", expected_object(&path), self.shown(source));
                Err(SyntaxError::invalid(self.span_of(source), message))
            }
        }
    }

    fn array(
        &self,
        source: &Source<'_>,
        element: &str,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        match source {
            Source::Literal(Literal { kind: Kind::Array(elements), .. }) => elements
                .iter()
                .map(|value| self.convert(&Source::Literal(value.clone()), element, place))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Source::Text(word) if word.text.starts_with(['[', '(']) => {
                let literal = literal::whole(self.text, word.span())?;
                self.array(&Source::Literal(literal), element, place)
            }
            // As on QEMU's command line: `key.0=a key.1=b`.
            Source::Members(entries) => {
                let mut elements: Vec<Option<Value>> = vec![None; entries.len()];
                for entry in entries {
                    let index = entry.name.parse::<usize>().ok();
                    let Some(slot) = index.and_then(|index| elements.get_mut(index)) else {
                        let message = format!(
                            "`{}` is a list: `{}` is not the number of one of its {} elements",
                            place.path(),
                            entry.name,
                            entries.len()
                        );
                        return Err(SyntaxError::invalid(entry.span.clone(), message));
                    };
                    let inner = Place { parent: Some(&place), name: &entry.name };
                    *slot = Some(self.convert(&entry.source, element, inner)?);
                }
                Ok(elements.into_iter().flatten().collect())
            }
            _ => {
                let path = place.path();
                let message = format!(
                    "`{path}` is a list: expected `{path}=[...]`, found {}",
                    self.shown(source)
                );
                Err(SyntaxError::invalid(self.span_of(source), message))
            }
        }
    }

    fn alternate(
        &self,
        source: &Source<'_>,
        ty: &str,
        place: Place<'_>,
    ) -> Result<Value, SyntaxError> {
        let Shape::Alternate(alternatives) = self.schema().shape(ty) else {
            return self.guessed(source);
        };
        let types = alternatives.iter().map(|alternative| alternative.type_.as_str());
        let of = |wanted: fn(&Shape<'_>) -> bool| {
            types.clone().find(|ty| wanted(&self.schema().shape(ty)))
        };
        let object = of(|shape| matches!(shape, Shape::Object(_)));
        let array = of(|shape| matches!(shape, Shape::Array(_)));
        let is_list = |entries: &[Entry<'_>]| {
            entries.iter().all(|entry| entry.name.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let structured = match source {
            Source::Members(entries) if is_list(entries) => array.or(object),
            Source::Members(_) => object,
            Source::Text(word) if word.text.starts_with('{') => object,
            Source::Text(word) if word.text.starts_with('[') => array,
            Source::Literal(literal) => match literal.kind {
                Kind::Object(_) => object,
                Kind::Array(_) => array,
                _ => None,
            },
            _ => None,
        };
        if let Some(ty) = structured {
            return self.convert(source, ty, place);
        }
        // Text is ambiguous: an enumeration that has it comes first, and a string takes the rest.
        let mut scalars: Vec<_> = types
            .clone()
            .map(|ty| self.schema().shape(ty))
            .filter(|shape| {
                !matches!(shape, Shape::Object(_) | Shape::Array(_) | Shape::Alternate(_))
            })
            .map(|shape| Expected::of(shape, false, self.schema()))
            .collect();
        scalars.sort_by_key(Expected::rank);
        if scalars.len() > 1 {
            scalars.iter_mut().for_each(Expected::complete);
        }
        let mut failure = None;
        for expected in &scalars {
            match self.scalar(source, expected, place) {
                Ok(value) => return Ok(value),
                Err(error) => failure = Some(error),
            }
        }
        let path = place.path();
        Err(failure.unwrap_or_else(|| {
            let message = format!("{}, found {}", expected_object(&path), self.shown(source));
            SyntaxError::invalid(self.span_of(source), message)
        }))
    }

    fn mismatch(
        &self,
        source: &Source<'_>,
        expected: &Expected<'_>,
        place: Place<'_>,
    ) -> SyntaxError {
        let path = place.path();
        let (found, help) = if qmp_types::is_secret(self.command, place.name) {
            (String::from("a value that is not"), None)
        } else {
            let text = self.text_of(source);
            let help = text.and_then(|text| did_you_mean(&text, expected.values().into_iter()));
            (self.shown(source), help.map(|name| format!("did you mean `{name}`?")))
        };
        let message = format!("`{path}` must be {expected}, found {found}");
        SyntaxError::invalid(self.span_of(source), message).help(help)
    }

    fn unknown<'n>(
        &self,
        entry: &Entry<'_>,
        place: Option<Place<'_>>,
        known: impl Iterator<Item = &'n str>,
    ) -> SyntaxError {
        let owner = match place {
            Some(place) => format!("`{}` of `{}`", place.path(), self.command),
            None => format!("`{}`", self.command),
        };
        let help = did_you_mean(&entry.name, known).map_or_else(
            || format!("`help {}` lists its arguments", self.command),
            |name| format!("did you mean `{name}`?"),
        );
        let message = format!("{owner} has no argument `{}`", entry.name);
        SyntaxError::invalid(entry.span.clone(), message).help(Some(help))
    }

    /// Returns a value that is a scalar, as text.
    fn text_of(&self, source: &Source<'_>) -> Option<String> {
        match source {
            Source::Text(word) => self.plain(*word).ok(),
            Source::Literal(literal) | Source::Verbatim(literal) => match &literal.kind {
                Kind::String(text) | Kind::Word(text) | Kind::Number(text) => Some(text.clone()),
                Kind::Boolean(value) => Some(value.to_string()),
                _ => None,
            },
            Source::Members(_) => None,
        }
    }

    /// Returns a word without quotes.
    fn plain(&self, word: Word<'_>) -> Result<String, SyntaxError> {
        let quoted = literal::unquoted(self.text, word.span()).transpose()?;
        Ok(quoted.unwrap_or_else(|| word.text.to_owned()))
    }

    fn shown(&self, source: &Source<'_>) -> String {
        match source {
            Source::Members(_) => String::from("members"),
            _ => match self.text.get(self.span_of(source)) {
                Some("") | None => String::from("nothing"),
                Some(text) if text.len() > 60 => String::from("another value"),
                Some(text) => format!("`{text}`"),
            },
        }
    }

    fn span_of(&self, source: &Source<'_>) -> Range<usize> {
        match source {
            Source::Text(word) => word.span(),
            Source::Literal(literal) | Source::Verbatim(literal) => literal.span.clone(),
            Source::Members(entries) => entries.first().map_or(0..0, |entry| entry.span.clone()),
        }
    }
}

fn expected_object(path: &str) -> String {
    format!("`{path}` is an object: expected `{path}.NAME=...` or `{path}={{...}}`")
}

fn entry<'t>((name, span, value): &(String, Range<usize>, Literal)) -> Entry<'t> {
    Entry { name: name.clone(), span: span.clone(), source: Source::Literal(value.clone()) }
}
