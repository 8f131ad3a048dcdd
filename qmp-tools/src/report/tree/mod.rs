//! Trees of what lives in a machine: block nodes, PCI functions and objects.

mod block;
mod pci;
mod qom;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use qmp_client::Error;
use qmp_client::blocking::Client;
use serde::Serialize;

use crate::terminal::inline;

/// The most rows of a tree.
const MOST: usize = 20_000;

/// The deepest level of a tree.
const DEEPEST: usize = 64;

/// A subject that has the shape of a tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[non_exhaustive]
pub enum Subject {
    /// Block devices and exports, with the nodes below them
    Block,
    /// PCI functions below their bridges
    Pci,
    /// Objects, with their types
    Qom,
}

/// A branch of a tree: an object, and what is below it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Branch {
    /// The role that the object has for the one above; empty at the top.
    pub role: String,
    /// The object's name.
    pub name: String,
    /// More about it, such as its type.
    pub details: String,
    /// The branches below it.
    pub children: Vec<Branch>,
}

/// Asks a machine for a tree.
///
/// # Errors
/// The machine refuses the query, does not answer in time, or the connection fails.
pub fn tree(vm: &Client, subject: Subject, within: Duration) -> Result<Vec<Branch>, Error> {
    match subject {
        Subject::Block => block::tree(vm, within),
        Subject::Pci => pci::tree(vm, within),
        Subject::Qom => qom::tree(vm, within),
    }
}

/// Draws trees.
#[derive(Clone, Copy, Debug)]
pub struct Drawing<'a>(pub &'a [Branch]);

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for branch in self.0 {
            row(f, branch)?;
            below(f, &branch.children, "")?;
        }
        Ok(())
    }
}

/// Draws what is below a branch. The depth of a tree is limited where it is made.
fn below(f: &mut fmt::Formatter<'_>, branches: &[Branch], indentation: &str) -> fmt::Result {
    for (number, branch) in branches.iter().enumerate() {
        let is_last = number + 1 == branches.len();
        let (corner, line) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write!(f, "{indentation}{corner}")?;
        row(f, branch)?;
        below(f, &branch.children, &format!("{indentation}{line}"))?;
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, branch: &Branch) -> fmt::Result {
    if !branch.role.is_empty() {
        write!(f, "{}: ", inline(&branch.role))?;
    }
    write!(f, "{}", inline(&branch.name))?;
    if !branch.details.is_empty() {
        write!(f, "  {}", inline(&branch.details))?;
    }
    writeln!(f)
}
