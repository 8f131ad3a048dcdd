//! What the programs of the toolkit share: the choice of a machine, the report, the shell's
//! language.

pub mod machine;
pub mod report;
pub mod shell;
