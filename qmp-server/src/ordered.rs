//! Serializes arguments in an order that makes errors precise.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use crate::introspection::{Introspection, Object, Shape};

/// A value that serializes the discriminator of every union first.
///
/// The decoder of a union has to buffer the members before the discriminator, and loses their
/// positions. An error in one of them would be reported for the wrong member.
pub(crate) struct Ordered<'v> {
    pub(crate) introspection: &'v Introspection,
    /// The name of the value's type, if known.
    pub(crate) shape: Option<&'v str>,
    pub(crate) value: &'v Value,
}

impl<'v> Ordered<'v> {
    fn nested(&self, shape: Option<&'v str>, value: &'v Value) -> Self {
        Self { introspection: self.introspection, shape, value }
    }

    fn object(&self) -> Option<&'v Object> {
        match self.introspection.shape(self.shape?)? {
            Shape::Object(object) => Some(object),
            Shape::Alternate(shapes) => {
                shapes.iter().find_map(|shape| match self.introspection.shape(shape) {
                    Some(Shape::Object(object)) => Some(object),
                    _ => None,
                })
            }
            _ => None,
        }
    }

    fn element(&self) -> Option<&'v str> {
        match self.introspection.shape(self.shape?)? {
            Shape::Array(element) => Some(element),
            _ => None,
        }
    }

    /// Returns the type of a member of the object, or of the branch that its discriminator selects.
    fn member(
        &self,
        object: &'v Object,
        members: &Map<String, Value>,
        name: &str,
    ) -> Option<&'v str> {
        let own = object.members.iter().find(|member| member.name == name);
        if let Some(member) = own {
            return Some(&member.shape);
        }
        let value = members.get(object.tag.as_ref()?)?.as_str()?;
        match self.introspection.shape(object.branches.get(value)?)? {
            Shape::Object(branch) => self.member(branch, members, name),
            _ => None,
        }
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Array(elements) => {
                let mut out = serializer.serialize_seq(Some(elements.len()))?;
                for element in elements {
                    out.serialize_element(&self.nested(self.element(), element))?;
                }
                out.end()
            }
            Value::Object(members) => {
                let object = self.object();
                let tag = object.and_then(|object| object.tag.as_deref());
                let (first, others): (Vec<_>, Vec<_>) =
                    members.iter().partition(|(name, _)| Some(name.as_str()) == tag);
                let mut out = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in first.into_iter().chain(others) {
                    let shape = object.and_then(|object| self.member(object, members, name));
                    out.serialize_entry(name, &self.nested(shape, value))?;
                }
                out.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
