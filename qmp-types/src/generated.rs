//! What generated code has in common, as macros: a type gives its names and what is particular to
//! each, and the rest stands here once. This keeps generated files short to write, read and parse.
//!
//! Names of members come from the generated file and names of variables from here, so that the two
//! cannot clash.

/// `new` with the mandatory members, and a setter for each optional one.
///
/// What a caller may give for a member: `string` and `into T` are anything that converts, `strings`
/// are any number of such, `value T` is just that; `boxed` in front means that the field is a box.
#[doc(hidden)]
#[macro_export]
macro_rules! builder {
    (
        $name:ident
        required { $($required:ident ($($given:tt)*))* }
        optional { $($optional:ident ($($set:tt)*))* }
        $(open $open:ident)?
    ) => {
        impl $name {
            /// With the mandatory members, if there are any; the optional ones are set one by one.
            #[must_use]
            pub fn new($($required: $crate::parameter!($($given)*)),*) -> Self {
                Self {
                    $($required: $crate::argument!($required $($given)*),)*
                    $($optional: ::std::option::Option::None,)*
                    $($open: $crate::serde_json::Map::new(),)?
                }
            }
            $(
                #[doc = concat!("Sets [`", stringify!($optional), "`](Self::", stringify!($optional), ").")]
                #[must_use]
                pub fn $optional(mut self, $optional: $crate::parameter!($($set)*)) -> Self {
                    self.$optional =
                        ::std::option::Option::Some($crate::argument!($optional $($set)*));
                    self
                }
            )*
            $(
                /// Adds a member that the schema does not list. What a setter has set stays.
                #[must_use]
                pub fn property(
                    mut self,
                    name: impl ::std::convert::Into<::std::string::String>,
                    value: impl ::std::convert::Into<$crate::serde_json::Value>,
                ) -> Self {
                    self.$open.insert(name.into(), value.into());
                    self
                }
            )?
        }
    };
}

/// The type of a parameter that sets a member.
#[doc(hidden)]
#[macro_export]
macro_rules! parameter {
    (boxed $($given:tt)*) => { $crate::parameter!($($given)*) };
    (string) => { impl ::std::convert::Into<::std::string::String> };
    (strings) => {
        impl ::std::iter::IntoIterator<Item = impl ::std::convert::Into<::std::string::String>>
    };
    (into $type:ty) => { impl ::std::convert::Into<$type> };
    (value $type:ty) => { $type };
}

/// The value of a field from its parameter.
#[doc(hidden)]
#[macro_export]
macro_rules! argument {
    ($field:ident boxed $($given:tt)*) => {
        ::std::boxed::Box::new($crate::argument!($field $($given)*))
    };
    ($field:ident string) => { $field.into() };
    ($field:ident strings) => { $field.into_iter().map(::std::convert::Into::into).collect() };
    ($field:ident into $type:ty) => { $field.into() };
    ($field:ident value $type:ty) => { $field };
}

/// Reading and writing of an object: its mandatory and its optional members, each with its index
/// and its name on the wire; members that the schema does not list (`open`), or the discriminator
/// and its branches (`branches`), where there are such.
///
/// Few ways lead out of `read`: each would have to drop all members read so far, and the compiler's
/// work grows with the product of the two.
#[doc(hidden)]
#[macro_export]
macro_rules! object {
    (
        $name:ident $schema:literal
        required { $($required:ident $r:literal $required_wire:literal)* }
        optional { $($optional:ident $o:literal $optional_wire:literal)* }
    ) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = &[$($required_wire,)* $($optional_wire),*];

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                $(let mut $required = ::std::option::Option::None;)*
                $(let mut $optional = ::std::option::Option::None;)*
                while let ::std::option::Option::Some(member) = members.next(Self::MEMBERS)? {
                    match member {
                        $($r => members.fill(&mut $required),)*
                        $($o => members.fill(&mut $optional),)*
                        _ => members.skip(),
                    }?;
                }
                $crate::finish!(members { $($required $required_wire)* } { $($optional)* })
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                let _ = &out;
                $(out.member($required_wire, &self.$required);)*
                $(out.optional($optional_wire, &self.$optional);)*
            }
        }

        $crate::object_impls!($name);
    };
    (
        $name:ident $schema:literal
        required { $($required:ident $r:literal $required_wire:literal)* }
        optional { $($optional:ident $o:literal $optional_wire:literal)* }
        open $open:ident
    ) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = &[$($required_wire,)* $($optional_wire),*];

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                $(let mut $required = ::std::option::Option::None;)*
                $(let mut $optional = ::std::option::Option::None;)*
                let mut $open = $crate::serde_json::Map::new();
                while let ::std::option::Option::Some(member) =
                    members.next_or_keep(Self::MEMBERS, &mut $open)?
                {
                    match member {
                        $($r => members.fill(&mut $required),)*
                        $($o => members.fill(&mut $optional),)*
                        _ => members.skip(),
                    }?;
                }
                $crate::finish!(members { $($required $required_wire)* } { $($optional)* $open })
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                $(out.member($required_wire, &self.$required);)*
                $(out.optional($optional_wire, &self.$optional);)*
                out.open(&self.$open, |name| {
                    false
                        $(|| name == $required_wire)*
                        $(|| name == $optional_wire && self.$optional.is_some())*
                });
            }
        }

        $crate::object_impls!($name);
    };
    (
        $name:ident $schema:literal
        required { $($required:ident $r:literal $required_wire:literal)* }
        optional { $($optional:ident $o:literal $optional_wire:literal)* }
        branches $branches:ident $discriminator:literal
    ) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] =
                &[$($required_wire,)* $($optional_wire,)* $discriminator];
            const FIRST: &'static [&'static str] = &[$discriminator];

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                $(let mut $required = ::std::option::Option::None;)*
                $(let mut $optional = ::std::option::Option::None;)*
                let $branches = members.branches(Self::MEMBERS, &mut |member, source| {
                    match member {
                        $($r => source.fill(&mut $required),)*
                        $($o => source.fill(&mut $optional),)*
                        _ => source.skip(),
                    }
                })?;
                $crate::finish!(
                    members { $($required $required_wire)* } { $($optional)* $branches }
                )
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                $(out.member($required_wire, &self.$required);)*
                out.branches(&self.$branches);
                $(out.optional($optional_wire, &self.$optional);)*
            }
        }

        $crate::object_impls!($name);
    };
}

/// The finished object, or the error that says which mandatory member is missing.
#[doc(hidden)]
#[macro_export]
macro_rules! finish {
    ($members:ident {} { $($optional:ident)* }) => {
        ::std::result::Result::Ok(Self { $($optional),* })
    };
    ($members:ident { $($required:ident $wire:literal)+ } { $($optional:ident)* }) => {
        match ($($required,)+) {
            ($(::std::option::Option::Some($required),)+) => {
                ::std::result::Result::Ok(Self { $($required,)+ $($optional),* })
            }
            ($($required,)+) => ::std::result::Result::Err(
                $members.missing(&[$(($required.is_none(), $wire)),+]),
            ),
        }
    };
}

/// `Serialize` and `Deserialize` of an object.
#[doc(hidden)]
#[macro_export]
macro_rules! object_impls {
    ($name:ident) => {
        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::object::serialize(self, serializer)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::object::deserialize(deserializer)
            }
        }
    };
}

/// An object that carries another whole, in a field `data`.
#[doc(hidden)]
#[macro_export]
macro_rules! whole_object {
    ($name:ident $schema:literal $data:ty) => {
        impl ::std::convert::From<$data> for $name {
            fn from(data: $data) -> Self {
                Self { data }
            }
        }

        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = <$data as $crate::object::Object>::MEMBERS;
            const FIRST: &'static [&'static str] = <$data as $crate::object::Object>::FIRST;

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                $crate::object::Object::read(members).map(|data| Self { data })
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                $crate::object::Object::write(&self.data, out);
            }
        }

        $crate::object_impls!($name);
    };
}

/// The branches of a union: those without members, those with, and those that are boxed.
#[doc(hidden)]
#[macro_export]
macro_rules! branches {
    (
        $name:ident $discriminator:literal
        empty { $($empty:ident $empty_wire:literal)* }
        plain { $($plain:ident $plain_wire:literal)* }
        boxed { $($boxed:ident $boxed_wire:literal)* }
    ) => {
        impl $name {
            /// The discriminator's value on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$empty => $empty_wire,)*
                    $(Self::$plain(_) => $plain_wire,)*
                    $(Self::$boxed(_) => $boxed_wire,)*
                    Self::Unknown { name, .. } => name,
                }
            }
        }

        impl $crate::object::Branches for $name {
            const DISCRIMINATOR: &'static str = $discriminator;

            fn read_branch<'de, A: $crate::serde::de::MapAccess<'de>>(
                value: &str,
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                match value {
                    $($empty_wire => members.no_branch(Self::$empty),)*
                    $($plain_wire => members.branch(Self::$plain),)*
                    $($boxed_wire => members.branch(
                        |branch| Self::$boxed(::std::boxed::Box::new(branch)),
                    ),)*
                    _ => members.unknown_branch(
                        |members| Self::Unknown { name: value.into(), members },
                    ),
                }
            }

            fn write_branch<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                match self {
                    $(Self::$empty => {})*
                    $(Self::$plain(branch) => $crate::object::Object::write(branch, out),)*
                    $(Self::$boxed(branch) => $crate::object::Object::write(&**branch, out),)*
                    Self::Unknown { members, .. } => {
                        out.open(members, |name| name == $discriminator);
                    }
                }
            }

            fn discriminator(&self) -> &str {
                self.as_str()
            }
        }
    };
}

/// A union that is its branches, there being nothing else in its base.
#[doc(hidden)]
#[macro_export]
macro_rules! bare_union {
    ($name:ident $schema:literal $discriminator:literal) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = &[$discriminator];
            const FIRST: &'static [&'static str] = Self::MEMBERS;

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                members.branches(Self::MEMBERS, &mut |_, source| source.skip())
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                out.branches(self);
            }
        }

        $crate::object_impls!($name);
    };
}

/// The values of an enumeration.
#[doc(hidden)]
#[macro_export]
macro_rules! enumeration {
    ($name:ident $schema:literal { $($value:ident $wire:literal)* }) => {
        impl $name {
            /// Every value that the schema knows, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The value on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$value => $wire,)*
                    Self::Unknown(name) => name,
                }
            }
        }

        impl $crate::enumeration::Enumeration for $name {
            const NAME: &'static str = $schema;
            const ALL: &'static [Self] = Self::ALL;
            const NAMES: &'static [&'static str] = &[$($wire),*];

            fn unknown(name: &str) -> Self {
                Self::Unknown(name.into())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::std::convert::Infallible;

            fn from_str(name: &str) -> ::std::result::Result<Self, ::std::convert::Infallible> {
                ::std::result::Result::Ok($crate::enumeration::parse(name))
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::enumeration::deserialize(deserializer)
            }
        }
    };
}

/// `Deserialize` of an alternate.
#[doc(hidden)]
#[macro_export]
macro_rules! alternate_impls {
    ($name:ident) => {
        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::alternate::deserialize(deserializer)
            }
        }
    };
}

/// A command: its name, what it returns, and what is particular to it.
#[doc(hidden)]
#[macro_export]
macro_rules! command {
    ($name:ident $wire:literal $return:ty, $($particular:ident)*) => {
        impl $crate::Command for $name {
            const NAME: &'static str = $wire;
            $($crate::command!(@ $particular);)*
            type Return = $return;
        }
        $($crate::command!($name $particular);)*
    };
    (@ no_arguments) => { const HAS_ARGUMENTS: bool = false; };
    (@ no_success) => { const SUCCESS_RESPONSE: bool = false; };
    (@ allow_oob) => {};
    ($name:ident no_arguments) => {};
    ($name:ident no_success) => {};
    ($name:ident allow_oob) => { impl $crate::AllowOob for $name {} };
}

/// An event: its name.
#[doc(hidden)]
#[macro_export]
macro_rules! event {
    ($name:ident $wire:literal) => {
        impl $crate::Event for $name {
            const NAME: &'static str = $wire;
        }
    };
}
