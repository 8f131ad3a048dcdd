//! Looks names up in the tables of generated types.

/// The index of a name in a table.
///
/// Tables are short, and so are names: going through all of them costs less than a hash would, if
/// names are compared in chunks (from both ends, which may overlap) and not byte by byte.
pub(crate) fn position(names: &[&str], name: &str) -> Option<usize> {
    let name = name.as_bytes();
    match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(start), Some(end)) if name.len() <= 8 => names.iter().position(|known| {
            let known = known.as_bytes();
            known.len() == name.len()
                && known.first_chunk() == Some(start)
                && known.last_chunk() == Some(end)
        }),
        _ => position_of_long(names, name),
    }
}

#[inline(never)]
fn position_of_long(names: &[&str], name: &[u8]) -> Option<usize> {
    names.iter().position(|known| known.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_length_are_told_apart() {
        let letters = "abcdefghijklmnopqrstuvwxyz";
        for length in 0..=letters.len() {
            let name = &letters[..length];
            assert_eq!(position(&["?", name, "-"], name), Some(1));
            for wrong in 0..length {
                let other = format!("{}-{}", &name[..wrong], &name[wrong + 1..]);
                assert_eq!(position(&[&other, &letters[length..]], name), None, "{other}");
            }
        }
    }
}
