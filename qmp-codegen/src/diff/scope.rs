//! The scope of a comparison.

/// The properties of schemas that are compared.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Scope {
    /// Everything that matters to clients.
    #[default]
    Schema,
    /// Only what [introspection](crate::introspection) shows. It does not distinguish integer
    /// types, and lacks `success-response`, `gen`, and `allow-preconfig`. Use this scope if only
    /// one of the schemas was imported.
    Introspection,
}
