//! The INI dialect: text, placeholders, blocks.

use super::Machine;

#[test]
fn text_is_split_as_uwsgi_splits_it() {
    for (lines, name, expected) in [
        ("a = 1", "a", vec!["1"]),
        ("a=1", "a", vec!["1"]),
        ("  a =  1\t", "a", vec!["1"]),
        ("a = 1\r", "a", vec!["1"]),
        ("a = b = c", "a", vec!["b = c"]),
        ("a : b = c", "a : b", vec!["c"]),
        ("a", "a", vec![""]),
        ("a =", "a", vec![""]),
        ("; a = 1\n# a = 2\n  ;a = 3\n\na = 4", "a", vec!["4"]),
        ("a = 1 ; one", "a", vec!["1 ; one"]),
        ("a = \"1\"", "a", vec!["\"1\""]),
        ("a = 1\nb = 2\na = 3", "a", vec!["1", "3"]),
        ("A = 1\na = 2", "a", vec!["2"]),
        ("a = 1\n  continued", "a", vec!["1"]),
        ("a = 1|2", "a", vec!["1|2"]),
        ("a = [b]", "a", vec!["[b]"]),
        ("7|a = 1", "7|a", vec!["1"]),
        ("a = ä", "a", vec!["ä"]),
    ] {
        assert_eq!(Machine::with_lines(lines).values(name), expected, "{lines}");
    }
}

#[test]
fn sections_are_told_apart() {
    for (text, arguments, expected) in [
        ("[uwsgi]\na = 1\n[b]\na = 2", vec!["f.ini"], vec!["1"]),
        ("[uwsgi]\na = 1\n[b]\na = 2", vec!["f.ini:b"], vec!["2"]),
        ("[uwsgi]\na = 1\n[b]\na = 2", vec!["--ini", "f.ini:b"], vec!["2"]),
        ("[uwsgi]\na = 1\n[b]\na = 2", vec!["f.ini", ":b"], vec!["1", "2"]),
        (
            "[uwsgi]\na = 1\n[b]\na = 2\n[uwsgi]\na = 3",
            vec!["f.ini"],
            vec!["1", "3"],
        ),
        (
            "[uwsgi]\nini = :b\na = 1\n[b]\na = 2",
            vec!["f.ini"],
            vec!["2", "1"],
        ),
        ("a = 0\n[uwsgi]\na = 1", vec!["f.ini"], vec!["1"]),
        ("\u{feff}[uwsgi]\na = 1", vec!["f.ini"], vec!["1"]),
        ("[uwsgi] ; main\na = 1", vec!["f.ini"], vec!["1"]),
        ("[ uwsgi ]\r\na = 1", vec!["f.ini"], vec!["1"]),
        ("[uwsgi]]\na = 1", vec!["f.ini"], vec!["1"]),
        ("[uwsgi\na = 1", vec!["f.ini"], vec!["1"]),
        ("[UWSGI]\na = 1", vec!["f.ini"], vec![]),
    ] {
        let machine = Machine::new().file("/srv/f.ini", text);
        let (_, options) = machine.run(&arguments);
        let values: Vec<&str> = options
            .settings()
            .iter()
            .filter(|setting| setting.name == "a")
            .map(|setting| setting.value.as_str())
            .collect();
        assert_eq!(values, expected, "{text} {arguments:?}");
    }
}

#[test]
fn magic_variables_tell_of_the_file_and_the_machine() {
    let text = "[uwsgi]\nini = sub.d/my.app.ini:web\n[other]\n";
    for (variable, expected) in [
        ("%p", "/srv/sub.d/my.app.ini"),
        ("%d", "/srv/sub.d/"),
        ("%s", "my.app.ini"),
        ("%n", "my.app"),
        ("%e", "ini"),
        ("%c", "sub.d"),
        ("%o", "sub.d/my.app.ini"),
        ("%0-%1-%2", "srv-sub.d-"),
        ("%x", "web"),
        ("%i", "42"),
        ("%P", "/srv/uwsgi.ini"),
        ("%D", "/srv/"),
        ("%S", "uwsgi.ini"),
        ("%N", "uwsgi"),
        ("%E", "ini"),
        ("%C", "srv"),
        ("%O", "uwsgi.ini"),
        ("%X", "uwsgi"),
        ("%v", "/srv"),
        ("%V", env!("CARGO_PKG_VERSION")),
        ("%h", "tuxedo"),
        ("%b", "/usr/bin/uwrs"),
        ("%k", "4"),
        ("%u %U", "33 www-data"),
        ("%g %G", "34 www"),
        ("%t", "1700000000"),
        ("%T", "1700000000000001"),
        ("100%%", "100%"),
        ("100%", "100%"),
        ("%q%k", "4"),
        ("%[31m", "\u{1b}31m"),
    ] {
        let machine = Machine::new().file("/srv/uwsgi.ini", text).file(
            "/srv/sub.d/my.app.ini",
            format!("[web]\na = {variable}\nb = next"),
        );
        assert_eq!(machine.values("a"), [expected], "{variable}");
        assert_eq!(machine.values("b"), ["next"], "{variable}");
    }
}

#[test]
fn a_files_hash_is_the_same_on_every_machine() {
    let machine = Machine::with_lines("a = %j\nb = %J");
    // djb33x of "/srv/uwsgi.ini", reckoned by hand with 32 bits.
    let expected = "/srv/uwsgi.ini".bytes().fold(5381u64, |hash, byte| {
        ((hash * 33) ^ u64::from(byte)) & 0xffff_ffff
    });
    assert_eq!(machine.values("a"), [format!("{expected:x}")]);
    assert_eq!(machine.values("a"), machine.values("b"));
}

#[test]
fn placeholders_are_filled_in_to_the_end() {
    for (lines, expected) in [
        ("base = /x\na = %(base)/y", "/x/y"),
        ("a = %(base)/y\nbase = /x", "/x/y"),
        ("base = /x\nbase = /y\na = %(base)", "/x"),
        ("set = base=/x\na = %(base)", "/x"),
        ("set-ph = base=/x\na = %(base)", "/x"),
        ("set-placeholder = base = /x\na = %(base)", "/x"),
        ("one = 1\ntwo = %(one)2\na = %(two)3%(one)", "1231"),
        ("name = one\none = 1\na = %(%(name))", "1"),
        ("processes = 4\na = %(processes)", "4"),
        ("a = $(HOME)/x", "/home/me/x"),
        ("base = $(HOME)\na = %(base)/x", "/home/me/x"),
        ("a = @(/etc/secret)", "s3cret"),
        ("a = @(relative)", "two\nlines"),
        (
            "file = /etc/secret\na = x@(/etc/secret)%(file)",
            "xs3cret/etc/secret",
        ),
        ("a = $(NO_SUCH)", "$(NO_SUCH)"),
        ("a = %(no_such)", "%(no_such)"),
        ("a = $(HOME", "$(HOME"),
        ("a = %(base", "%(base"),
        ("a = %()", "%()"),
        ("n = 4\na = %(n + 1)", "5"),
        ("n = 4\na = %(n + 1 * 2)", "10"),
        ("n = 7\na = %(n / 2)", "3"),
        ("n = 7\na = %(n / 0)", "0"),
        ("n = 7\na = %(n - 10)", "-3"),
        ("n = 7\na = %(n ++)", "8"),
        ("n = 7\na = %(n --)", "6"),
        ("n = 4\nm = 2\na = %(n m + 1)", "43"),
        ("n = x\na = %(n + 1)", "1"),
        ("a = %(none + 1)", "1"),
        ("a = %(%k + 1)", "5"),
        ("a = %((%k * 2) + 1)", "9"),
        ("a = %(2 * (1 + %k) )", "10"),
        ("a = %(2 * 1024 * 1024 * 1024)", "2147483648"),
        ("a = %(9223372036854775807 + 1)", "-9223372036854775808"),
        ("a = %%(base)\nbase = /x", "/x"),
    ] {
        let machine = Machine::with_lines(lines)
            .variable("HOME", "/home/me")
            .file("/etc/secret", "s3cret\n")
            .file("/srv/relative", "two\nlines\n");
        assert_eq!(machine.values("a"), [expected], "{lines}");
    }
}

#[test]
fn what_is_needed_while_reading_is_filled_in_with_what_is_known_by_then() {
    let machine = Machine::with_lines("base = /etc/uwrs\ninclude = %(base)/more.ini\nini = $(HOME)/me.ini")
        .variable("HOME", "/home/me")
        .file("/etc/uwrs/more.ini", "[uwsgi]\na = 1")
        .file("/home/me/me.ini", "[uwsgi]\na = 2");
    assert_eq!(machine.values("a"), ["1", "2"]);
}

#[test]
fn blocks_are_decided_while_reading() {
    for (lines, expected) in [
        ("if-env = HOME\na = %(_)\nendif =", vec!["/home/me"]),
        ("if-env = HOME=/home/me\na = 1\nendif", vec!["1"]),
        ("if-env = HOME=/root\na = 1\nendif", vec![]),
        ("if-env = NO_SUCH\na = 1\nelse =\na = 2\nendif =", vec!["2"]),
        ("if-not-env = NO_SUCH\na = 1\nend =\na = 2", vec!["1", "2"]),
        ("if-not-env = HOME\na = 1\nend-if =", vec![]),
        ("ifenv = HOME\na = 1\nendif =", vec!["1"]),
        ("threads = 2\nif-opt = threads\na = %(_)\nendif =", vec!["2"]),
        ("if-opt = threads=3\na = 1\nendif =\nthreads = 3", vec![]),
        ("if-not-opt = threads\na = 1\nendif =", vec!["1"]),
        ("if-exists = /srv/app\na = %(_)\nendif =", vec!["/srv/app"]),
        ("if-exists = app\na = %(_)\nendif =", vec!["app"]),
        ("if-file = /srv/app\na = 1\nendif =", vec![]),
        ("if-file = uwsgi.ini\na = 1\nendif =", vec!["1"]),
        ("if-not-dir = /srv/app\na = 1\nendif =", vec![]),
        ("ifdir = /srv/app\na = 1\nendif =", vec!["1"]),
        ("if-hostname = tuxedo\na = 1\nendif =", vec!["1"]),
        ("if-not-hostname = tuxedo\na = 1\nendif =", vec![]),
        ("if-reload =\na = 1\nendif =", vec![]),
        ("if-not-reload =\na = 1\nendif =", vec!["1"]),
        ("if-plugin = http\na = 1\nendif =", vec!["1"]),
        ("if-plugin = rack\na = 1\nendif =", vec![]),
        ("for = x y  z\na = %(_)!\nendfor =", vec!["x!", "y!", "z!"]),
        ("for-times = 3\na = %(_ * 2)\nend-for =", vec!["2", "4", "6"]),
        (
            "for-glob = /etc/[ab]*.ini\na = %(_)\nendfor =",
            vec!["/etc/a.ini", "/etc/b1.ini"],
        ),
        (
            "for-readline = /etc/words\na = %(_)\nendfor =",
            vec!["one", "two"],
        ),
        (
            "for = x y\nfor-times = 2\na = %(_)\nendfor =\nb = %(_)\nendfor =",
            vec!["1", "2", "1", "2"],
        ),
        (
            "if-env = HOME\nif-env = NO_SUCH\na = 1\nendif =\na = 2\nendif =",
            vec!["2"],
        ),
        ("if-env = HOME\na = 1", vec!["1"]),
        ("endif =\na = 1", vec!["1"]),
        ("if-hostname-match = t.*\na = 1\nendif =\na = 2", vec!["2"]),
    ] {
        let machine = Machine::with_lines(lines)
            .variable("HOME", "/home/me")
            .file("/etc/a.ini", "")
            .file("/etc/b1.ini", "")
            .file("/etc/c.ini", "")
            .file("/etc/words", "one\n\n two \n");
        assert_eq!(machine.values("a"), expected, "{lines}");
    }
}

#[test]
fn a_reload_is_known_to_conditions() {
    let mut machine = Machine::with_lines("if-reload =\na = 1\nendif =");
    machine.facts.reload = true;
    assert_eq!(machine.values("a"), ["1"]);
}

#[test]
fn files_are_read_where_they_are_named_and_inherited_ones_last() {
    let machine =
        Machine::with_lines("inherit = %(where)/late.ini\na = 1\ninclude = sub.ini\na = 3\nwhere = /srv")
            .file("/srv/sub.ini", "[uwsgi]\na = 2")
            .file("/srv/late.ini", "[uwsgi]\na = 4");
    assert_eq!(machine.values("a"), ["1", "2", "3", "4"]);
}

#[test]
fn standard_input_is_a_file_too() {
    let machine = Machine::new().stdin("[uwsgi]\nprocesses = 3");
    let (config, options) = machine.run(&["-"]);
    assert_eq!(config.processes.workers, 3);
    assert_eq!(
        options.last("processes").map(|said| said.origin.to_string()),
        Some("stdin:2".to_owned())
    );
    assert_eq!(machine.config(&["--ini", "-"]).processes.workers, 3);
}
