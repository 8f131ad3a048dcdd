//! Resolves conditions: leaves out what does not exist in a server with certain symbols.

// Most build scripts do not call this: with `#[inline]`, it is compiled for those that do.

use crate::schema::{Arguments, Base, Condition, Feature, Member, Schema, TypeKind};

type Holds<'h> = &'h dyn Fn(&str) -> bool;

impl Schema {
    /// Returns the schema as a server has it with certain configuration symbols, which `holds` tells:
    /// without the commands, events, members, values, branches, alternatives, and features whose
    /// conditions do not hold.
    ///
    /// Types stay in their places, since ids refer to them.
    ///
    /// ```
    /// use qmp_codegen::{Root, load};
    ///
    /// let text = "{ 'command': 'park' } { 'command': 'charge', 'if': 'CONFIG_ELECTRIC' }";
    /// let loaded = load([Root::Text { name: "garage.json".into(), text: text.into() }])?;
    /// let without = loaded.schema.resolved(&|symbol| symbol != "CONFIG_ELECTRIC");
    /// assert_eq!(without.commands.len(), 1);
    /// # Ok::<(), qmp_codegen::LoadError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn resolved(&self, holds: &dyn Fn(&str) -> bool) -> Self {
        let mut schema = self.clone();
        schema.commands.retain(|command| exists(&command.definition.condition, holds));
        schema.events.retain(|event| exists(&event.definition.condition, holds));
        for command in &mut schema.commands {
            features(&mut command.definition.features, holds);
            arguments(&mut command.arguments, holds);
        }
        for event in &mut schema.events {
            features(&mut event.definition.features, holds);
            arguments(&mut event.data, holds);
        }
        for ty in &mut schema.types {
            features(&mut ty.definition.features, holds);
            kind(&mut ty.kind, holds);
        }
        schema
    }
}

#[inline]
fn kind(kind: &mut TypeKind, holds: Holds<'_>) {
    match kind {
        TypeKind::Enum(data) => {
            data.values.retain(|value| exists(&value.condition, holds));
            data.values.iter_mut().for_each(|value| features(&mut value.features, holds));
        }
        TypeKind::Struct(data) => members(&mut data.members, holds),
        TypeKind::Union(data) => {
            data.branches.retain(|branch| exists(&branch.condition, holds));
            if let Base::Inline(base) = &mut data.base {
                members(base, holds);
            }
        }
        TypeKind::Alternate(data) => {
            data.alternatives.retain(|alternative| exists(&alternative.condition, holds));
        }
    }
}

#[inline]
fn arguments(arguments: &mut Arguments, holds: Holds<'_>) {
    if let Arguments::Inline(inline) = arguments {
        members(inline, holds);
    }
}

#[inline]
fn members(members: &mut Vec<Member>, holds: Holds<'_>) {
    members.retain(|member| exists(&member.condition, holds));
    members.iter_mut().for_each(|member| features(&mut member.features, holds));
}

#[inline]
fn features(features: &mut Vec<Feature>, holds: Holds<'_>) {
    features.retain(|feature| exists(&feature.condition, holds));
}

#[inline]
fn exists(condition: &Option<Condition>, holds: Holds<'_>) -> bool {
    condition.as_ref().is_none_or(|condition| condition.holds(holds))
}
