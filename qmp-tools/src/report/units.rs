//! Sizes and counts for people.

/// Formats a size in the largest unit in which it is at least one, with at most one decimal.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut unit = 0;
    let mut value = bytes as f64;
    while value >= 1024.0 && unit < 5 {
        value /= 1024.0;
        unit += 1;
    }
    let unit = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit];
    let number = format!("{value:.1}");
    format!("{} {unit}", number.strip_suffix(".0").unwrap_or(&number))
}

/// Formats a size that QEMU sends as a signed number.
pub(crate) fn size(size: i64) -> String {
    bytes(size.max(0).unsigned_abs())
}

/// Formats a number with its noun: `1 client`, `2 clients`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_use_the_largest_unit() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (134_217_728, "128 MiB"), (1_610_612_736, "1.5 GiB")]
        {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(size(-1), "0 B");
    }
}
