//! Macros for what generated items have in common.
//!
//! A generated item passes its names and whatever is particular to each of them; the code that is
//! the same for all items is written here once. This keeps generated files short to write, to read,
//! and to parse.
//!
//! Functions are `#[inline]`, so that a crate compiles those that it calls: a vocabulary has tens of
//! thousands, of which its users call a few.
//!
//! The names of members come from the generated file and the names of variables from this one, so
//! macro hygiene keeps them from clashing.

/// Implements reading and writing of an object, and with `new` in front also a constructor and
/// setters. `inner` marks an object that is read and written as a part of another one, and adds the
/// functions for that.
///
/// A member that is mandatory is `field: "wire"`, an optional one is `field?: "wire"`, and
/// `field => "wire"` is the discriminator of a union, whose field is the enum of its branches.
/// `..field` is where members go that the schema does not list. What a caller may pass for a member
/// follows in parentheses; see [`parameter!`].
///
/// Each of these forms captures a repetition of its own that never matches anything, so that a
/// transcription can pick the members of one form.
#[doc(hidden)]
#[macro_export]
macro_rules! object {
    (new inner $name:ident = $schema:literal $members:tt) => {
        $crate::builder!($name $members);
        $crate::object!(inner $name = $schema $members);
    };
    (new $name:ident = $schema:literal $members:tt) => {
        $crate::builder!($name $members);
        $crate::object!($name = $schema $members);
    };
    (
        inner $name:ident = $schema:literal {
            $(
                $field:ident
                $(: $($required:lifetime)?)?
                $(?: $($optional:lifetime)?)?
                $(=> $($branches:lifetime)?)?
                $wire:literal
                $(($($parameter:tt)*))?
                ,
            )*
            $(..$open:ident)?
        }
    ) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = &[
                $($($($required)? $wire,)? $($($optional)? $wire,)?)*
                $($($($branches)? $wire,)?)*
            ];
            $($($($branches)? const FIRST: &'static [&'static str] = &[$wire];)?)*

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                // Without `?`, whose conversion of errors is a tenth of what compiling a type takes.
                match members.read(Self::MEMBERS) {
                    ::std::result::Result::Ok((
                        $crate::group!($($($($required)? $field)?)*),
                        $crate::group!($($($($optional)? $field)?)*),
                        $crate::others!($($open)? $($($($branches)? $field)?)*),
                    )) => ::std::result::Result::Ok(Self { $($field,)* $($open)? }),
                    ::std::result::Result::Err(error) => ::std::result::Result::Err(error),
                }
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                let Self { $($field,)* $($open)? } = self;
                out.object(
                    Self::MEMBERS,
                    $crate::group!($($($($required)? $field)?)*),
                    $crate::group!($($($($optional)? $field)?)*),
                    $crate::others!($($open)? $($($($branches)? $field)?)*),
                );
            }
        }

        $crate::object_impls!($name);
    };
    (
        $name:ident = $schema:literal {
            $(
                $field:ident
                $(: $($required:lifetime)?)?
                $(?: $($optional:lifetime)?)?
                $(=> $($branches:lifetime)?)?
                $wire:literal
                $(($($parameter:tt)*))?
                ,
            )*
            $(..$open:ident)?
        }
    ) => {
        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                let Self { $($field,)* $($open)? } = self;
                $crate::object::write(
                    serializer,
                    &[
                        $($($($required)? $wire,)? $($($optional)? $wire,)?)*
                        $($($($branches)? $wire,)?)*
                    ],
                    $crate::group!($($($($required)? $field)?)*),
                    $crate::group!($($($($optional)? $field)?)*),
                    $crate::others!($($open)? $($($($branches)? $field)?)*),
                )
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::object::read(
                    deserializer,
                    $schema,
                    &[
                        $($($($required)? $wire,)? $($($optional)? $wire,)?)*
                        $($($($branches)? $wire,)?)*
                    ],
                    |
                        $crate::group!($($($($required)? $field)?)*),
                        $crate::group!($($($($optional)? $field)?)*),
                        $crate::others!($($open)? $($($($branches)? $field)?)*),
                    | Self { $($field,)* $($open)? },
                )
            }
        }
    };
}

/// Implements `new`, which takes the mandatory members, and a setter for each optional one.
#[doc(hidden)]
#[macro_export]
macro_rules! builder {
    (
        $name:ident {
            $(
                $field:ident
                $(: $($required:lifetime)?)?
                $(?: $($optional:lifetime)?)?
                $(=> $($branches:lifetime)?)?
                $wire:literal
                $parameter:tt
                ,
            )*
            $(..$open:ident)?
        }
    ) => {
        impl $name {
            /// Creates a value from its mandatory members, if it has any; optional members have
            /// setters.
            #[must_use]
            #[inline]
            pub fn new(
                $(
                    $($($required)? $field: $crate::parameter!($parameter),)?
                    $($($branches)? $field: $crate::parameter!($parameter),)?
                )*
            ) -> Self {
                Self {
                    $(
                        $field:
                            $($($required)? $crate::argument!($field $parameter))?
                            $($($optional)? ::std::option::Option::None)?
                            $($($branches)? $crate::argument!($field $parameter))?,
                    )*
                    $($open: $crate::serde_json::Map::new(),)?
                }
            }
            $($(
                $($optional)?
                #[doc = concat!("Sets the member [`", $wire, "`](field@Self::", stringify!($field), ").")]
                #[must_use]
                #[inline]
                pub fn $field(mut self, $field: $crate::parameter!($parameter)) -> Self {
                    self.$field =
                        ::std::option::Option::Some($crate::argument!($field $parameter));
                    self
                }
            )?)*
            $(
                /// Adds a member that the schema does not list. A member that a setter has set
                /// keeps its value.
                #[must_use]
                #[inline]
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

/// The type of the parameter that sets a member: `(string)` and `(into T)` accept anything that
/// converts, `(strings)` any number of such, `(T)` only a `T`; `boxed` in front says that the field
/// is a box.
#[doc(hidden)]
#[macro_export]
macro_rules! parameter {
    ((boxed $($given:tt)+)) => { $crate::parameter!(($($given)+)) };
    ((string)) => { impl ::std::convert::Into<::std::string::String> };
    ((strings)) => {
        impl ::std::iter::IntoIterator<Item = impl ::std::convert::Into<::std::string::String>>
    };
    ((into $type:ty)) => { impl ::std::convert::Into<$type> };
    (($type:ty)) => { $type };
}

/// The value of a field, from its parameter.
#[doc(hidden)]
#[macro_export]
macro_rules! argument {
    ($field:ident (boxed $($given:tt)+)) => {
        ::std::boxed::Box::new($crate::argument!($field ($($given)+)))
    };
    ($field:ident (string)) => { $field.into() };
    ($field:ident (strings)) => { $field.into_iter().map(::std::convert::Into::into).collect() };
    ($field:ident (into $type:ty)) => { $field.into() };
    ($field:ident $value:tt) => { $field };
}

/// Members as a tuple, or as several of them if they are many.
#[doc(hidden)]
#[macro_export]
macro_rules! group {
    (
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident $($more:ident)+
    ) => {
        $crate::object::Chain(($a, $b, $c, $d, $e, $f, $g, $h), $crate::group!($($more)+))
    };
    ($($member:ident)*) => { ($($member,)*) };
}

/// The field besides those of the members, if any: one for members that the schema does not list, or for
/// a branch.
#[doc(hidden)]
#[macro_export]
macro_rules! others {
    () => {
        ()
    };
    ($others:ident) => {
        $others
    };
}

/// Implements `Serialize` and `Deserialize` for an object that is an [`Object`](crate::object::Object).
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

/// Implements reading and writing of an object that carries another one whole, in a field `data`.
#[doc(hidden)]
#[macro_export]
macro_rules! whole_object {
    (new $name:ident ($data:ty)) => {
        impl $name {
            /// Creates a value from its members, in one piece.
            #[must_use]
            #[inline]
            pub fn new(data: impl ::std::convert::Into<$data>) -> Self {
                Self { data: data.into() }
            }
        }

        $crate::whole_object!($name($data));
    };
    ($name:ident ($data:ty)) => {
        impl ::std::convert::From<$data> for $name {
            #[inline]
            fn from(data: $data) -> Self {
                Self { data }
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                $crate::serde::Serialize::serialize(&self.data, serializer)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                $crate::serde::Deserialize::deserialize(deserializer).map(|data| Self { data })
            }
        }
    };
}

/// Implements reading and writing of a union's branches.
///
/// A branch without members is `Variant: "value"`, one with members is `Variant(_): "value"`, and
/// `Variant(Box<_>): "value"` if its members are boxed.
#[doc(hidden)]
#[macro_export]
macro_rules! branches {
    (
        $name:ident by $discriminator:literal {
            $(
                $variant:ident
                $(: $($empty:lifetime)?)?
                $((_): $($plain:lifetime)?)?
                $((Box<_>): $($boxed:lifetime)?)?
                $wire:literal
                ,
            )*
        }
    ) => {
        impl $name {
            /// Returns the value of the discriminator, as on the wire.
            #[must_use]
            #[inline]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant { .. } => $wire,)*
                    Self::Unknown { name, .. } => name,
                }
            }
        }

        impl ::std::fmt::Debug for $name {
            #[inline]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self {
                    $(
                        $($($empty)? Self::$variant => f.write_str(::std::stringify!($variant)),)?
                        $($($plain)? Self::$variant(branch) => {
                            $crate::secret::branch(f, ::std::stringify!($variant), branch)
                        })?
                        $($($boxed)? Self::$variant(branch) => {
                            $crate::secret::branch(f, ::std::stringify!($variant), branch)
                        })?
                    )*
                    Self::Unknown { name, members } => {
                        $crate::secret::unknown_branch(f, name, members)
                    }
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
                    $($wire =>
                        $($($empty)? members.no_branch(Self::$variant))?
                        $($($plain)? members.branch(Self::$variant))?
                        $($($boxed)? members.branch(
                            |branch| Self::$variant(::std::boxed::Box::new(branch)),
                        ))?,
                    )*
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
                    $(
                        $($($empty)? Self::$variant => {})?
                        $($($plain)? Self::$variant(branch) => {
                            $crate::object::Object::write(branch, out);
                        })?
                        $($($boxed)? Self::$variant(branch) => {
                            $crate::object::Object::write(&**branch, out);
                        })?
                    )*
                    Self::Unknown { members, .. } => out.unlisted(members, &[$discriminator]),
                }
            }

            #[inline]
            fn discriminator(&self) -> &str {
                self.as_str()
            }
        }
    };
}

/// Implements `Debug` for an object with secrets: `field: secret` and `field?: secret` are a
/// mandatory and an optional member that is one, and `..field` is where members go that the schema
/// does not list.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_without_secrets {
    ($name:ident { $($field:ident $(: $secret:ident)? $(?: $optional:ident)?,)* $(..$open:ident)? }) => {
        impl ::std::fmt::Debug for $name {
            #[inline]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(::std::stringify!($name))
                    $(.field(
                        $crate::secret::field(::std::stringify!($field)),
                        $crate::debug_value!(self $field $($secret)? $(? $optional)?),
                    ))*
                    $(.field(::std::stringify!($open), &$crate::secret::Unlisted(&self.$open)))?
                    .finish()
            }
        }
    };
}

/// The value of a field, as `Debug` shows it.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_value {
    ($self:ident $field:ident) => {
        &$self.$field
    };
    ($self:ident $field:ident secret) => {
        &$crate::secret::Secret
    };
    ($self:ident $field:ident ? secret) => {
        &$self.$field.as_ref().map(|_| $crate::secret::Secret)
    };
}

/// Implements reading and writing of a union that is the enum of its branches, since its base has
/// no member but the discriminator.
#[doc(hidden)]
#[macro_export]
macro_rules! bare_union {
    ($name:ident = $schema:literal by $discriminator:literal) => {
        impl $crate::object::Object for $name {
            const NAME: &'static str = $schema;
            const MEMBERS: &'static [&'static str] = &[$discriminator];
            const FIRST: &'static [&'static str] = Self::MEMBERS;

            fn read<'de, A: $crate::serde::de::MapAccess<'de>>(
                members: &mut $crate::object::Members<'_, 'de, A>,
            ) -> ::std::result::Result<Self, A::Error> {
                match members.read(Self::MEMBERS) {
                    ::std::result::Result::Ok(((), (), branches)) => {
                        ::std::result::Result::Ok(branches)
                    }
                    ::std::result::Result::Err(error) => ::std::result::Result::Err(error),
                }
            }

            fn write<M: $crate::serde::ser::SerializeMap>(
                &self,
                out: &mut $crate::object::Writer<'_, M>,
            ) {
                out.object(&[], (), (), self);
            }
        }

        $crate::object_impls!($name);
    };
}

/// Implements what every enumeration has.
#[doc(hidden)]
#[macro_export]
macro_rules! enumeration {
    ($name:ident = $schema:literal { $($value:ident: $wire:literal,)* }) => {
        impl $name {
            /// Every value that the schema lists, in its order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// Returns the value as on the wire.
            #[must_use]
            #[inline]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$value => $wire,)*
                    Self::Unknown(name) => name,
                }
            }

            /// Returns whether the schema lists the value, and it is not
            /// [`Unknown`](Self::Unknown).
            #[must_use]
            #[inline]
            pub fn is_known(&self) -> bool {
                !::std::matches!(self, Self::Unknown(_))
            }

            /// Parses a value that the schema lists, for configuration and command lines.
            ///
            /// [`FromStr`](::std::str::FromStr) is for text that a server sent: it never fails and
            /// keeps other values as [`Unknown`](Self::Unknown).
            ///
            /// # Errors
            /// Fails if the schema does not list the value, with an error that suggests one.
            #[inline]
            pub fn from_known(
                name: &str,
            ) -> ::std::result::Result<Self, $crate::UnknownValue> {
                $crate::enumeration::parse_known(name)
            }
        }

        impl $crate::enumeration::Enumeration for $name {
            const LISTED: $crate::enumeration::Listed<Self> = $crate::enumeration::Listed {
                enumeration: $schema,
                values: Self::ALL,
                names: &[$($wire),*],
                unknown: Self::Unknown,
            };
        }

        // Derived, it would also be a function to compile.
        impl ::std::cmp::Eq for $name {}

        impl ::std::fmt::Display for $name {
            #[inline]
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&$crate::Printable(self.as_str()), f)
            }
        }

        /// Never fails, as it is for text that a server sent. For configuration, use
        /// [`from_known`](Self::from_known).
        impl ::std::str::FromStr for $name {
            type Err = ::std::convert::Infallible;

            #[inline]
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

/// Implements `Deserialize` for an alternate.
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

/// Implements `Command`: the name on the wire, the type of the reply, and what is particular to the
/// command.
#[doc(hidden)]
#[macro_export]
macro_rules! command {
    ($name:ident = $wire:literal -> $return:ty $(, $particular:ident $(($($given:literal),*))?)*) => {
        impl $crate::Command for $name {
            const NAME: &'static str = $wire;
            $($crate::command!(@ $particular $($($given)*)?);)*
            type Return = $return;
        }
        $($crate::command!($name $particular);)*
    };
    (@ secrets $($secret:literal)*) => {
        const SECRETS: &'static [&'static str] = &[$($secret),*];
    };
    (@ no_arguments) => { const HAS_ARGUMENTS: bool = false; };
    (@ no_success_response) => { const SUCCESS_RESPONSE: bool = false; };
    (@ allow_oob) => {};
    (@ read_only) => { const READ_ONLY: bool = true; };
    ($name:ident secrets) => {};
    ($name:ident no_arguments) => {};
    ($name:ident read_only) => {};
    ($name:ident no_success_response) => {};
    ($name:ident allow_oob) => { impl $crate::AllowOob for $name {} };
}

/// Implements `Event`: the name on the wire.
#[doc(hidden)]
#[macro_export]
macro_rules! event {
    ($name:ident = $wire:literal) => {
        impl $crate::Event for $name {
            const NAME: &'static str = $wire;
        }
    };
}
