//! Converts numbers with a fraction or an exponent.

use super::check::number_end;

/// Converts a number, and rounds it as serde_json does by default, whatever features of serde_json another
/// crate sets. Returns `None` if the text is not a number or the number is out of range.
///
/// serde_json's own conversion has a table of all powers, and brings its errors into every program,
/// with the search for their positions.
#[expect(clippy::cast_precision_loss, reason = "the value is rounded")]
pub(crate) fn fraction(number: &str) -> Option<f64> {
    let text = number.as_bytes();
    if number_end(text, 0) != Some(text.len()) {
        return None;
    }
    let (mut significand, mut exponent) = (0_u64, 0_i64);
    let (mut is_fraction, mut is_full) = (false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'-' => {}
            b'.' => (is_fraction, is_full) = (true, false),
            b'e' | b'E' => {
                let written = &number[index + 1..];
                let extreme = if written.starts_with('-') { i64::MIN } else { i64::MAX };
                exponent = exponent.saturating_add(written.parse().unwrap_or(extreme));
                break;
            }
            digit => {
                let digit = u64::from(digit - b'0');
                let longer = significand.checked_mul(10).and_then(|tens| tens.checked_add(digit));
                match longer.filter(|_| !is_full) {
                    Some(longer) => {
                        significand = longer;
                        exponent -= i64::from(is_fraction);
                    }
                    None => {
                        is_full = true;
                        exponent += i64::from(!is_fraction);
                    }
                }
            }
        }
    }
    let mut value = significand as f64;
    while exponent < -LARGEST && value > 0.0 {
        value /= power_of_ten(LARGEST);
        exponent += LARGEST;
    }
    if value > 0.0 {
        value = match exponent {
            ..0 => value / power_of_ten(-exponent),
            0..=LARGEST => value * power_of_ten(exponent),
            _ => return None,
        };
    }
    value.is_finite().then_some(if number.starts_with('-') { -value } else { value })
}

/// The largest power of ten.
const LARGEST: i64 = 308;

/// Returns ten to the power of an exponent of at most [`LARGEST`], rounded.
#[expect(clippy::cast_possible_truncation, reason = "the bits below are rounded off")]
#[expect(clippy::cast_precision_loss, reason = "the power is rounded")]
#[expect(clippy::cast_sign_loss, reason = "the exponent is not negative")]
fn power_of_ten(exponent: i64) -> f64 {
    let exponent = exponent as usize;
    let mut power = POWERS[exponent / STEP];
    for _ in 0..exponent % STEP {
        power = tenfold(power);
    }
    let (bits, shift) = power;
    let half = BITS / 2;
    (bits >> half) as u64 as f64 * f64::from_bits((shift + half as u64) << 52)
}

/// A power of ten, with more bits than a float has, and by how much they are shifted.
type Power = (u128, u64);

const BITS: u32 = 124;

/// Every sixteenth power. A peer chooses which numbers are converted, and how many: not all of the way
/// from one is gone for each.
const STEP: usize = 16;
static POWERS: [Power; LARGEST as usize / STEP + 1] = {
    let mut powers = [(1 << (BITS - 1), 1024 - BITS as u64); LARGEST as usize / STEP + 1];
    let mut power = powers[0];
    let mut exponent = 1;
    while exponent <= LARGEST as usize {
        power = tenfold(power);
        if exponent % STEP == 0 {
            powers[exponent / STEP] = power;
        }
        exponent += 1;
    }
    powers
};

const fn tenfold((bits, shift): Power) -> Power {
    let bits = bits * 10;
    let surplus = u128::BITS - BITS - bits.leading_zeros();
    (bits >> surplus, shift + surplus as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_are_exact_or_rounded_to_the_nearest() {
        for exponent in 0..=LARGEST {
            let text = format!("1e{exponent}");
            assert_eq!(power_of_ten(exponent), text.parse::<f64>().unwrap(), "{text}");
        }
    }

    #[test]
    fn fractions_are_those_of_serde_json() {
        let digits = "1844674407370955161698765432100999";
        let mut numbers: Vec<String> = [
            "-0",
            "0.0",
            "-0.0",
            "0e999",
            "1e400",
            "-1e400",
            "1e-400",
            "4.9e-324",
            "2e-324",
            "1.7976931348623157e308",
            "1.8e308",
            "17976931348623157e292",
            "0.1",
            "-1.5e+3",
            "1E-2",
            "18446744073709551616.5",
            "0e99999999999999999999",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "123456789012345678901234567890",
            "01",
            "1.",
            ".5",
            "",
            "-",
            "1e",
            "1e+",
            "+1",
            "1.5x",
            "2.2250738585072011e-308",
        ]
        .map(String::from)
        .into();
        for length in 1..digits.len() {
            let (whole, rest) = digits.split_at(length);
            for exponent in ["", "e7", "e-30", "E+280", "e-330"] {
                numbers.push(format!("{whole}{exponent}"));
                numbers.push(format!("{whole}.{rest}{exponent}"));
                numbers.push(format!("0.000{whole}{exponent}"));
            }
        }
        for number in numbers {
            let theirs = serde_json::from_str::<f64>(&number).ok();
            assert_eq!(fraction(&number).map(f64::to_bits), theirs.map(f64::to_bits), "{number}");
        }
    }
}
