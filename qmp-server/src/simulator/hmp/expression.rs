//! Arithmetic in human monitor commands.

/// The maximum nesting depth of parentheses and signs.
const MAX_DEPTH: usize = 32;

/// Returns the value of an expression of numbers, parentheses and `+ - * / % & | ^ ~`, or `None` if
/// it is invalid.
pub(super) fn evaluate(text: &str) -> Option<i64> {
    let mut reader = Reader { rest: text.trim(), depth: 0 };
    let value = reader.sum()?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    /// Takes one of the operators, if it is next.
    fn take(&mut self, operators: &[char]) -> Option<char> {
        let first = self.rest.chars().next().filter(|first| operators.contains(first))?;
        self.rest = self.rest[first.len_utf8()..].trim_start();
        Some(first)
    }

    fn sum(&mut self) -> Option<i64> {
        let mut value = self.logical()?;
        while let Some(operator) = self.take(&['+', '-']) {
            let right = self.logical()?;
            value = match operator {
                '+' => value.wrapping_add(right),
                _ => value.wrapping_sub(right),
            };
        }
        Some(value)
    }

    fn logical(&mut self) -> Option<i64> {
        let mut value = self.product()?;
        while let Some(operator) = self.take(&['&', '|', '^']) {
            let right = self.product()?;
            value = match operator {
                '&' => value & right,
                '|' => value | right,
                _ => value ^ right,
            };
        }
        Some(value)
    }

    fn product(&mut self) -> Option<i64> {
        let mut value = self.unary()?;
        while let Some(operator) = self.take(&['*', '/', '%']) {
            let right = self.unary()?;
            value = match operator {
                '*' => value.wrapping_mul(right),
                '/' => value.checked_div(right)?,
                _ => value.checked_rem(right)?,
            };
        }
        Some(value)
    }

    fn unary(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = match self.take(&['+', '-', '~', '(']) {
            Some('+') => self.unary(),
            Some('-') => self.unary().map(i64::wrapping_neg),
            Some('~') => self.unary().map(|value| !value),
            Some(_) => {
                let value = self.sum()?;
                self.take(&[')'])?;
                Some(value)
            }
            None => self.number(),
        };
        self.depth -= 1;
        value
    }

    fn number(&mut self) -> Option<i64> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        let unsigned = match digits.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        unsigned.ok().map(|number: u64| i64::from_ne_bytes(number.to_ne_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_precedence_of_qemu() {
        for (text, value) in [
            ("1+1", Some(2)),
            (" 2 * (3 + 4) ", Some(14)),
            ("0x10-1", Some(15)),
            ("1+6&3", Some(3)),
            ("-~0", Some(1)),
            ("", None),
            ("1/0", None),
            ("1+", None),
            ("x", None),
        ] {
            assert_eq!(evaluate(text), value, "{text}");
        }
        assert_eq!(evaluate(&"(".repeat(10_000)), None);
    }
}
