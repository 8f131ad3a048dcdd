//! Tables that all connections to QEMUs of the same build share.
//!
//! A manager has thousands of connections, and a host has few builds of QEMU. Each reply is compared
//! with the texts that are in use, and dropped if it is one of them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::table::Table;

/// The number of tables that are shared. A host has two or three builds of QEMU at the same time; what
/// is beyond the limit works the same, and is not shared.
const MAX_SHARED: usize = 16;

/// The tables in use, the latest last. The lock guards only the list: no text is compared, and none is
/// read, while it is held.
static TABLES: Mutex<Vec<Weak<Table>>> = Mutex::new(Vec::new());

/// Returns the table of a text. Returns what is not as expected if the text is not a schema.
pub(super) fn table(text: Cow<'_, str>) -> Result<Arc<Table>, &'static str> {
    let known = in_use(text.len());
    if let Some(same) = find(&known, &text) {
        return Ok(same);
    }
    let table = Arc::new(Table::new(text.into())?);
    // Another thread may have had the same text meanwhile.
    let added = in_use(table.text().len());
    let added: Vec<_> =
        added.into_iter().filter(|one| !known.iter().any(|old| Arc::ptr_eq(one, old))).collect();
    if let Some(same) = find(&added, table.text()) {
        return Ok(same);
    }
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if tables.len() == MAX_SHARED {
        tables.remove(0);
    }
    tables.push(Arc::downgrade(&table));
    Ok(table)
}

fn find(tables: &[Arc<Table>], text: &str) -> Option<Arc<Table>> {
    tables.iter().find(|table| table.text() == text).cloned()
}

/// Returns the tables in use whose texts have a length, and forgets those that are not in use.
fn in_use(length: usize) -> Vec<Arc<Table>> {
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = Vec::new();
    tables.retain(|table| match table.upgrade() {
        Some(table) => {
            if table.text().len() == length {
                found.push(table);
            }
            true
        }
        None => false,
    });
    found
}
