//! Aligned columns.

use std::fmt::{self, Write as _};

use unicode_width::UnicodeWidthStr as _;

use crate::terminal::inline;

/// The widest cell that the others of its column are padded to.
const WIDEST: usize = 48;

/// Rows of cells; the cells of a column begin at the same place. No cell can forge a row, since
/// everything in it that would control a terminal is escaped.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.into_iter().map(|cell| inline(&cell).into_owned()).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the rows, each after the indentation.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, indentation: &str) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).filter(|width| *width <= WIDEST).max()
        };
        // A column without text takes no space.
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.0 {
            let mut line = String::from(indentation);
            for (cell, width) in row.iter().zip(&widths) {
                if *width > 0 || !cell.is_empty() {
                    // Some characters take two columns, and some none.
                    let padding = width.saturating_sub(cell.width()) + 2;
                    write!(line, "{cell}{:padding$}", "")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Written(Table);

    impl fmt::Display for Written {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(f, "  ")
        }
    }

    #[test]
    fn columns_are_aligned_and_rows_are_not_forged() {
        let mut table = Table::default();
        let wide = "x".repeat(100);
        for cells in [["a", "", "b"], ["漢字\n", "", "c"], [&wide, "", "d"]] {
            table.row(cells.map(str::to_owned));
        }
        let expected = format!("  a       b\n  漢字\\n  c\n  {wide}  d\n");
        assert_eq!(Written(table).to_string(), expected);
    }
}
