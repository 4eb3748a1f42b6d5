//! What holds for every text.

use proptest::prelude::*;

use super::Machine;
use crate::config::ini::Document;

/// A line of a file as someone may write it, and the key and value that it holds.
fn line() -> impl Strategy<Value = (String, Option<(String, String)>)> {
    let word = "[a-z][a-z0-9-]{0,8}";
    let value = "([!-~]{1,6}( [!-~]{1,6}){0,2})?";
    prop_oneof![
        Just((String::new(), None)),
        "[ \t]{0,3}[;#][ -~]{0,10}".prop_map(|text| (text, None)),
        (
            "[ \t]{0,2}",
            word,
            "[ \t]{0,2}",
            "[ \t]{0,2}",
            value,
            "[ \t\r]{0,2}"
        )
            .prop_map(|(before, key, left, right, value, after)| {
                let text = format!("{before}{key}{left}={right}{value}{after}");
                (text, Some((key, value)))
            }),
        ("[ \t]{0,2}", word).prop_map(|(before, key)| (format!("{before}{key}"), Some((key, String::new())))),
    ]
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Machine::new().file("/srv/uwsgi.ini", bytes).parse(&["uwsgi.ini"]);
    }

    #[test]
    fn no_text_of_the_dialects_own_pieces_is_too_strange(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "[uwsgi]", "\n", "\n", "\n", "=", " = ", "%", "%(", "$(", "@(", ")", "(", "a", "b", "_", " ", "+", "/",
                "*", "-", "1", "9", ";", "#", "\r", "ini", "include", "inherit", "uwsgi.ini", ":", "set", "if-env",
                "if-opt", "else", "endif", "for", "for-times", "for-glob", "endfor", "http", "socket", "processes",
                "chdir", "mount", "env", "strict", "\u{feff}", "ä", "|", "]",
            ]),
            0..60,
        ),
    ) {
        let text = format!("[uwsgi]\n{}", pieces.concat());
        let _ = Machine::new().file("/srv/uwsgi.ini", text).parse(&["uwsgi.ini"]);
    }

    #[test]
    fn no_command_line_is_too_strange(words in prop::collection::vec("(--?)?[a-z:=/.\\[%-]{0,12}", 0..6)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let _ = Machine::new().parse(&words);
    }

    #[test]
    fn every_value_is_found_with_its_line(lines in prop::collection::vec(line(), 0..30)) {
        let text: Vec<&str> = lines.iter().map(|(text, _)| text.as_str()).collect();
        let document = Document::read(format!("[uwsgi]\n{}", text.join("\n")).as_bytes());
        let (found, faults) = document.section("uwsgi").expect("it is there");
        let found: Vec<_> = found
            .iter()
            .map(|line| (line.number, line.key.clone(), line.value.clone()))
            .collect();
        let expected: Vec<_> = (2..)
            .zip(&lines)
            .filter_map(|(number, (_, said))| {
                let (key, value) = said.clone()?;
                Some((number, key, value))
            })
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert!(faults.is_empty());
    }
}
