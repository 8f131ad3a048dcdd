//! Asks for a machine's status once, like `floor.rs`, but with types that `floor_build.rs` generates from a
//! schema: `bench/compile` measures what it costs to compile.
//!
//! What the types of the generator can do besides is left out: they have no constructors and no setters, their
//! errors are texts, they are encoded and decoded by way of `serde_json::Value`, and a union could not be.

use std::error::Error;

#[allow(dead_code)]
mod floor;

/// The code that generated types share, and these types.
mod vmm {
    #![allow(unused)]

    use serde_json::{Map, Value};

    /// A value that is encoded and decoded.
    pub trait Data: Sized {
        fn read(value: Value) -> Result<Self, String>;
        fn write(&self) -> Value;
    }

    /// A command, whose arguments are its members.
    pub trait Command: Data {
        const NAME: &'static str;
        type Returns: Data;
    }

    impl Data for () {
        fn read(value: Value) -> Result<Self, String> {
            object(value).map(drop)
        }
        fn write(&self) -> Value {
            Value::Object(Map::new())
        }
    }

    macro_rules! scalars {
        ($($type:ident: $read:ident, $name:literal;)*) => { $(
            impl Data for $type {
                fn read(value: Value) -> Result<Self, String> {
                    value.$read().ok_or_else(|| format!("not {}: {value}", $name))
                }
                fn write(&self) -> Value {
                    (*self).into()
                }
            }
        )* };
    }
    scalars! {
        bool: as_bool, "a boolean";
        f64: as_f64, "a number";
        i64: as_i64, "an integer";
        u64: as_u64, "a positive integer";
    }

    impl Data for String {
        fn read(value: Value) -> Result<Self, String> {
            match value {
                Value::String(text) => Ok(text),
                other => Err(format!("not a string: {other}")),
            }
        }
        fn write(&self) -> Value {
            Value::String(self.clone())
        }
    }

    impl Data for Value {
        fn read(value: Value) -> Result<Self, String> {
            Ok(value)
        }
        fn write(&self) -> Value {
            self.clone()
        }
    }

    impl<T: Data> Data for Vec<T> {
        fn read(value: Value) -> Result<Self, String> {
            match value {
                Value::Array(items) => items.into_iter().map(T::read).collect(),
                other => Err(format!("not an array: {other}")),
            }
        }
        fn write(&self) -> Value {
            Value::Array(self.iter().map(T::write).collect())
        }
    }

    impl<T: Data> Data for Option<T> {
        fn read(value: Value) -> Result<Self, String> {
            if value.is_null() { Ok(None) } else { T::read(value).map(Some) }
        }
        fn write(&self) -> Value {
            self.as_ref().map_or(Value::Null, T::write)
        }
    }

    type Members = Map<String, Value>;

    fn object(value: Value) -> Result<Members, String> {
        match value {
            Value::Object(members) => Ok(members),
            other => Err(format!("not an object: {other}")),
        }
    }

    /// Reads a member of an object.
    fn take<T: Data>(members: &mut Members, name: &str) -> Result<T, String> {
        let member = members.remove(name).unwrap_or_default();
        T::read(member).map_err(|error| format!("`{name}`: {error}"))
    }

    /// Adds a member to an object, unless it is absent.
    fn put<T: Data>(members: &mut Members, name: &str, member: &T) {
        let member = member.write();
        if !member.is_null() {
            members.insert(name.to_owned(), member);
        }
    }

    include!(concat!(env!("OUT_DIR"), "/vmm.rs"));
}

/// Executes a command, and returns what it returns.
fn execute<C: vmm::Command>(
    vm: &mut floor::Client,
    command: &C,
) -> Result<C::Returns, Box<dyn Error>> {
    Ok(vmm::Data::read(vm.execute(C::NAME, &command.write().to_string())?)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut vm = floor::Client::connect(&std::env::args().nth(1).unwrap_or_default())?;
    println!("{}", execute(&mut vm, &vmm::QueryStatus {})?.status.as_str());
    Ok(())
}
