//! Values by their kinds: from the text that was said to what it means, or the reason why it means nothing.

/// A value that was read, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read<T> {
    /// The value.
    pub value: T,
    /// Was a comment behind it cut off?
    pub comment_cut: bool,
    /// What is odd about it, although it can be used.
    pub remark: Option<String>,
}

/// Yes or no, as uWSGI has it: `false`, `off`, `no` and `0` are no, whatever their case, everything else is yes. What
/// does not look like a yes is remarked on.
pub(super) fn boolean(text: &str) -> Read<bool> {
    let (text, comment_cut) = without_comment(text);
    let lower = text.to_lowercase();
    let remark = match lower.as_str() {
        "false" | "off" | "no" | "0" | "" | "true" | "on" | "yes" | "1" => None,
        _ => Some(format!("neither true nor false: \"{text}\", taken as true")),
    };
    Read {
        value: !matches!(lower.as_str(), "false" | "off" | "no" | "0"),
        comment_cut,
        remark,
    }
}

/// A whole number between two others.
pub(super) fn number(text: &str, least: u64, most: u64) -> Result<Read<u64>, String> {
    let (text, comment_cut) = without_comment(text);
    if text.is_empty() {
        return Err("a number is needed".to_owned());
    }
    let Ok(value) = text.parse::<u64>() else {
        return Err(not_a_number(text));
    };
    if value < least {
        return Err(format!("must be at least {least}, not {value}"));
    }
    if value > most {
        return Err(format!("must be at most {most}, not {value}"));
    }
    Ok(Read {
        value,
        comment_cut,
        remark: None,
    })
}

/// As [`number`], of what the table calls `unit`: who says another is told which it is.
pub(super) fn quantity(text: &str, least: u64, most: u64, unit: &str) -> Result<Read<u64>, String> {
    number(text, least, most).map_err(|reason| {
        let plain = without_comment(text).0;
        match unit {
            "N" => reason,
            "MB" if has_unit(plain) => format!("{reason}: it is in MB"),
            unit if has_unit(plain) => format!("{reason}: it is in {}", unit.to_lowercase()),
            _ => reason,
        }
    })
}

/// Yes, which is `usual`, no, which is 0, or a whole number.
pub(super) fn amount(text: &str, usual: u64, most: u64) -> Result<Read<u64>, String> {
    let (plain, comment_cut) = without_comment(text);
    let value = match plain.to_lowercase().as_str() {
        "" | "1" | "true" | "on" | "yes" => usual,
        "false" | "off" | "no" => 0,
        _ => return number(text, 0, most),
    };
    Ok(Read {
        value,
        comment_cut,
        remark: None,
    })
}

/// Seconds, at most so many: `2`, `0.25`.
pub(super) fn seconds(text: &str, most: u64) -> Result<Read<f64>, String> {
    let (plain, comment_cut) = without_comment(text);
    let is_plain = plain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = match plain.parse::<f64>() {
        Ok(value) if is_plain => value,
        _ if has_unit(plain) => return Err(format!("{}: it is in seconds", not_a_number(plain))),
        _ => return Err(not_a_number(plain)),
    };
    if value > most as f64 {
        return Err(format!("must be at most {most}, not {plain}"));
    }
    Ok(Read {
        value,
        comment_cut,
        remark: None,
    })
}

/// Is it a number with letters behind it, such as `64k`?
fn has_unit(text: &str) -> bool {
    let digits = text
        .trim_end_matches(|letter: char| letter.is_ascii_alphabetic())
        .trim_end();
    digits.len() < text.len() && digits.parse::<u64>().is_ok()
}

/// What to tell someone of whom [`names_variable_as_shells_do`] holds.
pub(super) const VARIABLES: &str = "a variable of the environment is $(NAME) here";

/// Is there a `$NAME` or `${NAME}` in it, which is nothing here?
pub(super) fn names_variable_as_shells_do(text: &str) -> bool {
    text.split('$').skip(1).any(|behind| {
        let first = behind.trim_start_matches('{').chars().next();
        first.is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_')
    })
}

fn not_a_number(text: &str) -> String {
    let has_sign = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.parse::<u64>().is_ok());
    if text.starts_with('$') && names_variable_as_shells_do(text) {
        return format!("not a number: \"{text}\": {VARIABLES}");
    }
    if has_unit(text) {
        return format!("not a number: \"{text}\": say it without a unit");
    }
    if has_sign {
        return format!("must not be negative: {text}");
    }
    format!("not a number: \"{text}\"")
}

/// An octal mode, at most 777.
pub(super) fn octal(text: &str) -> Result<Read<u32>, String> {
    let (text, comment_cut) = without_comment(text);
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    let value = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
    match value.filter(|_| is_octal) {
        Some(value) => Ok(Read {
            value,
            comment_cut,
            remark: None,
        }),
        None => Err(format!("not an octal mode like 660: \"{text}\"")),
    }
}

/// The mode of unix sockets: three octal digits; nothing, or `1`, is 666.
pub(super) fn socket_mode(text: &str) -> Result<Read<u32>, String> {
    let (trimmed, comment_cut) = without_comment(text);
    if matches!(trimmed, "" | "1") {
        return Ok(Read {
            value: 0o666,
            comment_cut,
            remark: None,
        });
    }
    if trimmed.len() < 3 {
        return Err(format!(
            "not an octal mode of three digits like 660: \"{trimmed}\""
        ));
    }
    octal(text)
}

/// The text without a comment behind it, for kinds of values that cannot hold one; and whether there was one. A
/// comment starts with `;` or `#` behind a blank.
pub(super) fn without_comment(text: &str) -> (&str, bool) {
    match comment(text) {
        Some(at) => (text[..at].trim_end(), true),
        None => (text.trim(), false),
    }
}

/// Where what looks like a comment behind a value starts.
fn comment(text: &str) -> Option<usize> {
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        if matches!(character, ';' | '#') && before.is_whitespace() {
            return Some(at);
        }
        before = character;
    }
    None
}

/// Does a text, which stays as it is, look as if a comment had been meant?
pub(super) fn seems_to_end_in_comment(text: &str) -> bool {
    comment(text).is_some_and(|at| at > 0 && text[at + 1..].starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_or_whether_there_is_one() {
        for (text, value) in [
            ("", 65),
            ("1", 65),
            ("yes ; as ever", 65),
            ("OFF", 0),
            ("0", 0),
            ("75", 75),
        ] {
            assert_eq!(amount(text, 65, 100).map(|read| read.value), Ok(value), "{text}");
        }
        assert!(amount("101", 65, 100).is_err());
        assert!(amount("many", 65, 100).is_err());
    }

    #[test]
    fn four_words_are_no_and_all_others_are_yes() {
        for (text, value, odd) in [
            ("false", false, false),
            ("OFF", false, false),
            ("No", false, false),
            ("0", false, false),
            ("", true, false),
            ("true", true, false),
            ("1", true, false),
            ("tru", true, true),
            ("2", true, true),
            ("false ; not now", false, false),
            ("true  # yes", true, false),
            ("# yes", true, false),
        ] {
            let read = boolean(text);
            assert_eq!((read.value, read.remark.is_some()), (value, odd), "{text}");
        }
    }

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (text, expected) in [
            ("4", Ok(4)),
            ("007", Ok(7)),
            ("300   # seconds", Ok(300)),
            ("4 ;workers", Ok(4)),
            ("many", Err("not a number: \"many\"")),
            ("", Err("a number is needed")),
            ("0", Err("must be at least 1, not 0")),
            ("1001", Err("must be at most 1000, not 1001")),
            ("-1", Err("must not be negative: -1")),
            ("64k", Err("not a number: \"64k\": say it without a unit")),
            ("3#4", Err("not a number: \"3#4\"")),
            (
                "99999999999999999999",
                Err("not a number: \"99999999999999999999\""),
            ),
        ] {
            let read = number(text, 1, 1000).map(|read| read.value);
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn who_says_a_unit_is_told_which_it_is() {
        for (text, unit, expected) in [
            (
                "64k",
                "BYTES",
                "not a number: \"64k\": say it without a unit: it is in bytes",
            ),
            (
                "1G",
                "MB",
                "not a number: \"1G\": say it without a unit: it is in MB",
            ),
            ("4x", "N", "not a number: \"4x\": say it without a unit"),
            ("many", "SECONDS", "not a number: \"many\""),
        ] {
            let refusal = quantity(text, 1, 1000, unit).err();
            assert_eq!(refusal.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_mode_is_octal() {
        for (text, expected) in [
            ("660", Some(0o660)),
            ("0660", Some(0o660)),
            ("", Some(0o666)),
            ("1", Some(0o666)),
            ("668", None),
            ("66", None),
            ("1777", None),
            ("rw", None),
        ] {
            assert_eq!(socket_mode(text).ok().map(|read| read.value), expected, "{text}");
        }
        assert_eq!(octal("022").map(|read| read.value), Ok(0o22));
    }
}
