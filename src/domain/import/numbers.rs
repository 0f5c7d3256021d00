//! Numbers as other programs print them, and whether a printed number still is the one that somebody wrote.

/// As JavaScript's `String(number)` prints it.
pub(super) fn as_javascript(number: f64) -> String {
    if !number.is_finite() {
        return word(number, "Infinity");
    }
    let Shortest { sign, digits, exponent } = shortest(number);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let text = match exponent {
        0..=20 if count <= exponent + 1 => format!("{digits}{}", zeros(exponent + 1 - count)),
        0..=20 => with_point(&digits, exponent + 1),
        -6..=-1 => format!("0.{}{digits}", zeros(-exponent - 1)),
        _ => format!("{}e{exponent:+}", with_point(&digits, 1)),
    };
    // Minus zero is printed without its sign.
    if digits == "0" { text } else { format!("{sign}{text}") }
}

/// As Go's `fmt.Sprint(float64)` prints it.
pub(super) fn as_go(number: f64) -> String {
    if !number.is_finite() {
        return word(number, if number > 0.0 { "+Inf" } else { "Inf" });
    }
    let Shortest { sign, digits, exponent } = shortest(number);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let text = match exponent {
        0..=5 if count <= exponent + 1 => format!("{digits}{}", zeros(exponent + 1 - count)),
        0..=5 => with_point(&digits, exponent + 1),
        -4..=-1 => format!("0.{}{digits}", zeros(-exponent - 1)),
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{:02}", with_point(&digits, 1), exponent.unsigned_abs())
        }
    };
    format!("{sign}{text}")
}

fn word(number: f64, infinity: &str) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number > 0.0 {
        infinity.to_owned()
    } else {
        format!("-{infinity}")
    }
}

/// The fewest digits that are read as the same number: `d.ddd` times ten to the exponent.
struct Shortest {
    sign: &'static str,
    digits: String,
    exponent: i32,
}

fn shortest(number: f64) -> Shortest {
    let text = format!("{:e}", number.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let sign = if number.is_sign_negative() { "-" } else { "" };
    Shortest { sign, digits: digits.replace('.', ""), exponent: exponent.parse().unwrap_or(0) }
}

fn zeros(count: i32) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

/// The digits with a point behind the first so many, unless none follow.
fn with_point(digits: &str, before: i32) -> String {
    match digits.split_at_checked(usize::try_from(before).unwrap_or(0)) {
        Some((whole, part)) if !part.is_empty() => format!("{whole}.{part}"),
        _ => digits.to_owned(),
    }
}

/// Whether two decimal texts name exactly the same number; false when one of them is no decimal number.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    decimal(one).is_some_and(|one| decimal(other) == Some(one))
}

/// Sign, digits without zeros at either end, and the exponent of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let is_negative = mantissa.starts_with('-');
    let mantissa = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let last = exponent.checked_sub(i64::try_from(part.len()).ok()?)?.checked_add(dropped)?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some((false, String::new(), 0));
    }
    Some((is_negative, significant.to_owned(), last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What node and Go print for these.
    #[test]
    fn numbers_are_printed_as_the_other_programs_do() {
        for (number, javascript, go) in [
            (0.0, "0", "0"),
            (1.0, "1", "1"),
            (1.1, "1.1", "1.1"),
            (100_000.0, "100000", "100000"),
            (1_000_000.0, "1000000", "1e+06"),
            (1_234_567.0, "1234567", "1.234567e+06"),
            (123_456.7, "123456.7", "123456.7"),
            (1e20, "100000000000000000000", "1e+20"),
            (1e21, "1e+21", "1e+21"),
            (123_456_789_012_345_680_000.0, "123456789012345680000", "1.2345678901234568e+20"),
            (12_345_678_901_234_567_890.0, "12345678901234567000", "1.2345678901234567e+19"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "0.00001", "1e-05"),
            (1e-6, "0.000001", "1e-06"),
            (1e-7, "1e-7", "1e-07"),
            (1.5e300, "1.5e+300", "1.5e+300"),
            (5e-324, "5e-324", "5e-324"),
            (-2.5, "-2.5", "-2.5"),
            (-0.0, "0", "-0"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "Infinity", "+Inf"),
            (f64::NEG_INFINITY, "-Infinity", "-Inf"),
        ] {
            assert_eq!((as_javascript(number).as_str(), as_go(number).as_str()), (javascript, go));
        }
    }

    #[test]
    fn two_texts_are_the_same_number_or_not() {
        for (one, other, expected) in [
            ("1.10", "1.1", true),
            ("1000000", "1e+06", true),
            ("1e3", "1000", true),
            ("0.0", "0", true),
            ("-0", "0", true),
            ("-1", "1", false),
            ("12345678901234567890", "12345678901234567000", false),
            ("0.1", "0.10000000000000001", false),
            ("0x10", "16", false),
            ("", "0", false),
            ("1e99999999999999999999", "1", false),
        ] {
            assert_eq!(is_same(one, other), expected, "{one} {other}");
        }
    }
}
