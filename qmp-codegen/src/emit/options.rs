//! The options of the generator.

use std::fmt;
use std::rc::Rc;

use proc_macro2::TokenStream;

use crate::named::{NameSet, Named};
use crate::schema::{Condition, Definition};

/// The options that the caller has set.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// Only these commands; all, if absent.
    pub(crate) commands: Option<NameSet>,
    /// Only these events; all, if absent.
    pub(crate) events: Option<NameSet>,
    /// Whether types that only servers build have constructors, too.
    pub(crate) constructors_for_all: bool,
    /// Rust types that replace types of the schema, by name.
    pub(crate) replacements: Named<TokenStream>,
    /// Rust types of members, by definition and member.
    pub(crate) member_types: Named<Named<TokenStream>>,
    /// Attributes of types, commands and events, by name.
    pub(crate) attributes: Named<TokenStream>,
    /// Which configuration symbols are set; conditions that depend on others hold.
    pub(crate) symbols: Option<Symbols>,
    /// Whether `INTROSPECTION` is wanted.
    #[cfg(feature = "introspection")]
    pub(crate) introspection: bool,
}

/// Says whether a configuration symbol is set, if that is known.
pub(crate) type Symbols = Rc<dyn Fn(&str) -> Option<bool>>;

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("commands", &self.commands)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl Options {
    pub(super) fn selects_command(&self, definition: &Definition) -> bool {
        selects(self.commands.as_ref(), self.events.is_some(), definition)
            && self.holds(&definition.condition)
    }

    pub(super) fn selects_event(&self, definition: &Definition) -> bool {
        selects(self.events.as_ref(), self.commands.is_some(), definition)
            && self.holds(&definition.condition)
    }

    /// Whether types that nothing refers to are wanted, too.
    pub(super) fn takes_everything(&self) -> bool {
        self.commands.is_none() && self.events.is_none()
    }

    pub(super) fn member_type(&self, definition: &str, member: &str) -> Option<&TokenStream> {
        self.member_types.get(definition)?.get(member)
    }

    pub(super) fn holds(&self, condition: &Option<Condition>) -> bool {
        condition.as_ref().is_none_or(|condition| self.may_hold(condition))
    }

    /// Returns whether a condition holds, as far as is known.
    pub(super) fn may_hold(&self, condition: &Condition) -> bool {
        let Some(is_set) = &self.symbols else { return true };
        condition.evaluate(&**is_set) != Some(false)
    }
}

/// A selection of commands alone means no events, and vice versa.
fn selects(names: Option<&NameSet>, other: bool, definition: &Definition) -> bool {
    match names {
        Some(names) => names.contains(&definition.name),
        None => !other,
    }
}
