//! Builds the schema of devices.

use std::collections::{HashMap, HashSet};

use super::accept::{Accepted, Property};
use super::bases::Bases;
use super::kind::{Kind, Kinds};
use crate::schema::{
    Arguments, Base, Branch, Builtin, Command, Definition, Doc, Enum, EnumValue, Member, Schema,
    Struct, Type, TypeId, TypeKind, TypeRef, Union,
};

/// The name of the base of all devices, and of the type of QEMU with that name.
const ROOT: &str = "device";

pub(super) fn schema(accepted: &Accepted<'_>, bases: &Bases<'_>, kinds: &Kinds<'_>) -> Schema {
    let mut build = Build::new(accepted);
    build.enums(kinds);
    build.bases(bases);
    let drivers = build.drivers();
    let branches = build.devices(bases);
    build.union(drivers, branches);
    build.schema
}

struct Build<'a, 'd> {
    accepted: &'a Accepted<'d>,
    schema: Schema,
    names: HashSet<String>,
    /// The last number of each name that needed one. Thousands of names can be the same in QAPI.
    numbers: HashMap<String, usize>,
    enums: HashMap<&'d str, TypeId>,
    bases: HashMap<&'d str, TypeId>,
    root: TypeId,
}

impl<'a, 'd> Build<'a, 'd> {
    fn new(accepted: &'a Accepted<'d>) -> Self {
        // Names of types that QAPI, Rust or this schema have already.
        let names = ["Device", "DeviceDriver", "DeviceBase"].map(str::to_owned).into();
        Self {
            accepted,
            schema: Schema::default(),
            names,
            numbers: HashMap::new(),
            enums: HashMap::new(),
            bases: HashMap::new(),
            root: TypeId(0),
        }
    }

    fn enums(&mut self, kinds: &Kinds<'d>) {
        for (name, values) in &kinds.enums {
            let values = values
                .iter()
                .map(|value| EnumValue { name: (*value).to_owned(), ..EnumValue::default() });
            let kind = TypeKind::Enum(Enum { values: values.collect(), prefix: None });
            let type_name = self.unique((*name).to_owned());
            let id = self.add(type_name, String::new(), kind);
            self.enums.insert(name, id);
        }
    }

    /// Adds the bases, the one of all devices first.
    fn bases(&mut self, bases: &Bases<'d>) {
        let argument = |name: &str, doc: &str| Member {
            doc: doc.to_owned(),
            ..member(name, TypeRef::Builtin(Builtin::Str))
        };
        let mut members = vec![
            argument("id", "ID of the device, unique among devices."),
            argument("bus", "Bus to plug the device into, as ID or path."),
        ];
        if let Some(root) = bases.bases.get(ROOT) {
            members.extend(root.properties.iter().map(|index| self.member(*index)));
        }
        let kind = TypeKind::Struct(Struct { base: None, members });
        self.root = self.add("DeviceBase".to_owned(), "Members of every device.".to_owned(), kind);
        self.bases.insert(ROOT, self.root);
        for name in bases.order.iter().filter(|name| **name != ROOT) {
            let Some(base) = bases.bases.get(name) else { continue };
            let above =
                base.above.and_then(|above| self.bases.get(above)).copied().unwrap_or(self.root);
            let members = base.properties.iter().map(|index| self.member(*index)).collect();
            let kind = TypeKind::Struct(Struct { base: Some(above), members });
            let camel = camel(name);
            let type_name = if camel.ends_with("Base") { camel } else { camel + "Base" };
            let type_name = self.unique(type_name);
            let id = self.add(type_name, "Members of several devices.".to_owned(), kind);
            self.bases.insert(name, id);
        }
    }

    fn drivers(&mut self) -> TypeId {
        let values = self.accepted.devices.iter();
        let values = values
            .map(|device| EnumValue { name: device.source.name.clone(), ..EnumValue::default() });
        let kind = TypeKind::Enum(Enum { values: values.collect(), prefix: None });
        self.add("DeviceDriver".to_owned(), "Types of devices.".to_owned(), kind)
    }

    fn devices(&mut self, bases: &Bases<'d>) -> Vec<Branch> {
        let accepted = self.accepted;
        let mut branches = Vec::new();
        for device in &accepted.devices {
            let nearest = bases.nearest(device);
            let inherited: HashSet<usize> = bases.inherited(nearest).collect();
            let base = nearest.and_then(|name| self.bases.get(name)).copied().unwrap_or(self.root);
            let own = device.properties.iter().filter(|index| !inherited.contains(index));
            let members = own.map(|index| self.member(*index)).collect();
            let name = &device.source.name;
            let type_name = self.unique(camel(name));
            let kind = TypeKind::Struct(Struct { base: Some(base), members });
            let ty = self.add(type_name, format!("The device ``{name}``."), kind);
            branches.push(Branch { name: name.clone(), ty, condition: None });
        }
        branches
    }

    fn union(&mut self, drivers: TypeId, branches: Vec<Branch>) {
        let driver = Member { optional: false, ..member("driver", TypeRef::Defined(drivers)) };
        let union = Union {
            base: Base::Inline(vec![driver]),
            discriminator: "driver".to_owned(),
            discriminator_type: drivers,
            branches,
        };
        let ty = self.add("Device".to_owned(), "A device.".to_owned(), TypeKind::Union(union));
        self.schema.commands.push(Command {
            definition: definition(
                "device_add".to_owned(),
                "Plugs a device into the machine.".to_owned(),
            ),
            arguments: Arguments::Named { ty, boxed: true },
            returns: None,
            success_response: true,
            generated: true,
            allow_oob: false,
            allow_preconfig: false,
            coroutine: false,
            read_only: false,
        });
    }

    fn member(&self, index: usize) -> Member {
        let Property { name, kind, doc } = &self.accepted.properties[index];
        let ty = match kind {
            Kind::Builtin(builtin) => TypeRef::Builtin(*builtin),
            Kind::Enum(name) => self
                .enums
                .get(name)
                .map_or(TypeRef::Builtin(Builtin::Any), |id| TypeRef::Defined(*id)),
        };
        Member { doc: doc.clone(), ..member(name, ty) }
    }

    fn add(&mut self, name: String, doc: String, kind: TypeKind) -> TypeId {
        let id = TypeId(u32::try_from(self.schema.types.len()).unwrap_or(u32::MAX));
        self.schema.types.push(Type { definition: definition(name, doc), kind });
        id
    }

    /// Returns a name that no other type has.
    fn unique(&mut self, name: String) -> String {
        let mut found = name.clone();
        let number = self.numbers.entry(name.clone()).or_insert(1);
        while !self.names.insert(found.clone()) {
            *number += 1;
            found = format!("{name}{number}");
        }
        found
    }
}

fn definition(name: String, body: String) -> Definition {
    Definition { name, doc: Doc { body, ..Doc::default() }, ..Definition::default() }
}

fn member(name: &str, ty: TypeRef) -> Member {
    Member {
        name: name.to_owned(),
        ty,
        optional: true,
        doc: String::new(),
        condition: None,
        features: Vec::new(),
        secret: false,
    }
}

/// Returns the name of a type in QAPI for the name of a device.
fn camel(name: &str) -> String {
    let shouted = !name.contains(|c: char| c.is_ascii_lowercase());
    let mut camel = String::with_capacity(name.len());
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = word.chars();
        camel.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        camel.extend(chars.map(|c| if shouted { c.to_ascii_lowercase() } else { c }));
    }
    if !camel.starts_with(|c: char| c.is_ascii_uppercase()) {
        camel.insert_str(0, "Device");
    }
    // QAPI reserves names that end with `List`, and does not have names without a lowercase letter.
    if camel.ends_with("List") || !camel.contains(|c: char| c.is_ascii_lowercase()) {
        camel.push_str("Device");
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::camel;

    #[test]
    fn names_of_types() {
        for (name, expected) in [
            ("virtio-blk-pci", "VirtioBlkPci"),
            ("e1000", "E1000Device"),
            ("VGA", "Vga"),
            ("AC97", "Ac97"),
            ("486-v1-x86_64-cpu", "Device486V1X8664Cpu"),
            ("SUNW,tcx", "SUNWTcx"),
            ("cfi.pflash01", "CfiPflash01"),
            ("List", "ListDevice"),
        ] {
            assert_eq!(camel(name), expected, "{name}");
        }
    }
}
