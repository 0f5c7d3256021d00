//! Words as other readers see them: white space to take away, dates and numbers without quotes.

/// What JavaScript's `trim` takes away.
pub(super) fn is_javascript_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202F}' | '\u{205F}' | '\u{3000}' | '\u{FEFF}')
}

/// `2001-12-31`, or a date and time of day.
pub(super) fn is_date(text: &str) -> bool {
    let digits = |text: &str, least: usize, most: usize| {
        (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (date, time) = match text.find(['T', 't', ' ', '\t']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let least = if time.is_some() { 1 } else { 2 };
    let is_time = |time: &str| {
        let mut parts = time.trim_start().splitn(3, ':');
        let (hour, minute) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let second = parts.next().unwrap_or("");
        digits(hour, 1, 2) && digits(minute, 2, 2) && second.get(..2).is_some_and(|second| digits(second, 2, 2))
    };
    digits(year, 4, 4) && digits(month, least, 2) && digits(day, least, 2) && time.is_none_or(is_time)
}

/// A whole number of Go's YAML: decimal, `0x`, `0o`, `0b`, or octal with a leading zero; `_` between digits.
pub(super) fn go_whole(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    whole(digits, true).map(|value| sign * value)
}

/// A whole number of js-yaml: as Go's but for `0o`, and numbers to the base of 60.
pub(super) fn javascript_whole(text: &str) -> Option<f64> {
    if text.ends_with('_') || text.starts_with('_') {
        return None;
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if digits.contains(':') && !digits.contains('.') && !digits.starts_with('0') {
        return sixties(digits).map(|value| sign * value);
    }
    whole(digits, false).map(|value| sign * value)
}

fn whole(digits: &str, zero_o: bool) -> Option<f64> {
    let base = |digits: &str, base: u32| {
        let fits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        fits.then(|| digits.chars().fold(0.0, |sum, c| sum * f64::from(base) + f64::from(c.to_digit(base).unwrap_or(0))))
    };
    if let Some(digits) = digits.strip_prefix("0x") {
        return base(digits, 16);
    }
    if let Some(digits) = digits.strip_prefix("0b") {
        return base(digits, 2);
    }
    if let Some(digits) = digits.strip_prefix("0o").filter(|_| zero_o) {
        return base(digits, 8);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return base(&digits[1..], 8);
    }
    // The nearest float, not a sum that rounds at each digit.
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// `1:30` is 90, to both sides of a point.
fn sixties(text: &str) -> Option<f64> {
    let mut sum = 0.0;
    for (at, part) in text.split(':').enumerate() {
        let is_small = at == 0 || part.split('.').next().is_some_and(|whole| whole.parse::<u8>().is_ok_and(|part| part < 60));
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        sum = if is_small && is_number { sum * 60.0 + part.parse::<f64>().ok()? } else { return None };
    }
    Some(sum)
}

/// A number with a point or an exponent, or `.inf` and `.nan`.
pub(super) fn float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let (sign, unsigned) = match plain.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if plain == unsigned => return Some(f64::NAN),
        _ => {}
    }
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let fits = unsigned.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let has_digit = unsigned.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit());
    (begins && fits && has_digit).then(|| unsigned.parse::<f64>().ok()).flatten().map(|value| sign * value)
}

/// A number of js-yaml with a point or an exponent: without a second zero in front, and to the base of 60 too.
pub(super) fn javascript_float(text: &str) -> Option<f64> {
    if text.ends_with('_') {
        return None;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.contains(':') {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return unsigned.contains('.').then(|| sixties(&unsigned.replace('_', ""))).flatten().map(|value| sign * value);
    }
    let is_signed_part =
        unsigned.len() < text.len() && unsigned.starts_with('.') && float(unsigned).is_some_and(f64::is_finite);
    let second_is_digit = unsigned.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if is_signed_part || unsigned.starts_with('0') && second_is_digit { None } else { float(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_other_words() {
        for text in ["2001-01-01", "2001-12-31T10:00:00Z", "2001-1-1 1:00:00", "2001-12-31 10:00:00.5 +1"] {
            assert!(is_date(text), "{text}");
        }
        for text in ["2001-1-1", "2001-01", "01-01-2001", "2001-01-01x", "a b", "2001-01-01 noon", "10.0.0.1"] {
            assert!(!is_date(text), "{text}");
        }
    }

    /// What js-yaml 3.14 makes of these.
    #[test]
    fn numbers_are_those_that_the_readers_see() {
        for (text, whole, float) in [
            ("0755", Some(493.0), None),
            ("1_000", Some(1000.0), Some(1000.0)),
            ("1:30", Some(90.0), None),
            ("0o14", None, None),
            ("1e3", None, Some(1000.0)),
            ("1.10", None, Some(1.1)),
            ("0x1F", Some(31.0), None),
            ("+1", Some(1.0), Some(1.0)),
            ("0b11", Some(3.0), None),
            ("08", None, None),
            ("1.", None, Some(1.0)),
            (".5", None, Some(0.5)),
            ("190:20:30.15", None, Some(685_230.15)),
            ("1_", None, None),
            ("01.5", None, None),
            (".5e3", None, Some(500.0)),
            ("+.5", None, None),
            ("-0.5", None, Some(-0.5)),
            ("1.2.3", None, None),
            ("-", None, None),
            (".", None, None),
            ("e5", None, None),
            ("10.0.0.1", None, None),
            ("12345678901234567890", Some(12_345_678_901_234_567_890.0), Some(12_345_678_901_234_567_890.0)),
        ] {
            assert_eq!((javascript_whole(text), javascript_float(text)), (whole, float), "{text}");
        }
        assert_eq!(
            (go_whole("0o14"), go_whole("0755"), go_whole("-7"), go_whole("1.0")),
            (Some(12.0), Some(493.0), Some(-7.0), None)
        );
        assert!(javascript_float(".nan").is_some_and(f64::is_nan));
        assert_eq!(float("-.inf"), Some(f64::NEG_INFINITY));
    }
}
