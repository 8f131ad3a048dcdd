//! Parts of three existing managers of QEMU, in our own words: modules to start from when you move such
//! a manager to this toolkit. The book's page "Three ports" compares them with the originals.
//!
//! | module | program | what it replaces |
//! | --- | --- | --- |
//! | [`hotplug`] | `container-runtime` | a container runtime's module that plugs disks, NICs, CPUs and memory |
//! | [`guest`] | `test-runner` | a test runner's monitor and guest agent |
//! | [`controller`] | `controller` | the part of a controller that starts, stops and watches a machine |
#![cfg(unix)]

pub mod controller;
pub mod guest;
pub mod hotplug;
