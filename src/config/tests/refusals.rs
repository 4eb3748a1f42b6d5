//! What is refused and what is warned about, in the words that people will read.

use super::Machine;

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_way_out() {
    for (lines, expected) in [
        (
            "processes = many",
            "uwsgi.ini:2: processes: not a number: \"many\"",
        ),
        ("workers = 0", "uwsgi.ini:2: workers: must be at least 1, not 0"),
        (
            "buffer-size = 64k",
            "uwsgi.ini:2: buffer-size: not a number: \"64k\": say it without a unit: it is in bytes",
        ),
        ("threads", "uwsgi.ini:2: threads: a number is needed"),
        (
            "gevent = 100\nthreads = 4",
            "uwsgi.ini:2: gevent: greenlets run on one thread of each worker, and there is also threads = 4 \
             (uwsgi.ini:3): keep one of the two",
        ),
        (
            "chmod-socket = rw",
            "uwsgi.ini:2: chmod-socket: not an octal mode of three digits like 660: \"rw\"",
        ),
        (
            "umask = 9",
            "uwsgi.ini:2: umask: not an octal mode like 660: \"9\"",
        ),
        (
            "chdir = nowhere",
            "uwsgi.ini:2: chdir: no such directory: /srv/nowhere",
        ),
        (
            "chdir = /srv/uwsgi.ini",
            "uwsgi.ini:2: chdir: not a directory: /srv/uwsgi.ini",
        ),
        (
            "chdir = ~/app",
            "uwsgi.ini:2: chdir: no such directory: ~/app; ~ stands for nothing here, write $(HOME)",
        ),
        ("chdir =", "uwsgi.ini:2: chdir: needs a value, DIR"),
        (
            "chdir = app\nhome = env",
            "uwsgi.ini:3: home: no such directory: neither /srv/app/env nor /srv/env: make the virtualenv with python3 -m \
             venv env",
        ),
        (
            "home = /venv",
            "uwsgi.ini:2: home: no such directory: /venv: make the virtualenv with python3 -m venv /venv",
        ),
        (
            "home = /opt/${VENV}",
            "uwsgi.ini:2: home: no such directory: /opt/${VENV}: a variable of the environment is $(NAME) here",
        ),
        (
            "chdir = /opt/$APP",
            "uwsgi.ini:2: chdir: no such directory: /opt/$APP: a variable of the environment is $(NAME) here",
        ),
        (
            "http = :http",
            "uwsgi.ini:2: http: not a port between 0 and 65535: \"http\"",
        ),
        (
            "http = :$(PORT)",
            "uwsgi.ini:2: http: $(PORT) is not set in the environment",
        ),
        (
            "socket = %(run)/a.sock",
            "uwsgi.ini:2: socket: %(run) stands for nothing",
        ),
        (
            "protocol = spdy",
            "uwsgi.ini:2: protocol: neither uwsgi nor http: \"spdy\"",
        ),
        (
            "http = 0.0.0.0:8000",
            "--http: :8000 is taken by uwsgi.ini:2 already: drop one of them",
        ),
        (
            "socket = a.sock\nsocket = ./a.sock",
            "uwsgi.ini:3: socket: /srv/a.sock is taken by uwsgi.ini:2 already: drop one of them",
        ),
        ("env = A", "uwsgi.ini:2: env: not NAME=VALUE: \"A\""),
        (
            "unenv = A=1",
            "uwsgi.ini:2: unenv: not the name of a variable: \"A=1\"",
        ),
        (
            "warm-up = health",
            "uwsgi.ini:2: warm-up: not /PATH, and not http://HOST/PATH: \"health\"",
        ),
        (
            "warm-up = https://example.com/",
            "uwsgi.ini:2: warm-up: not /PATH, and not http://HOST/PATH: \"https://example.com/\"",
        ),
        (
            "warm-up = http:///",
            "uwsgi.ini:2: warm-up: not /PATH, and not http://HOST/PATH: \"http:///\"",
        ),
        (
            "warm-up = /a b",
            "uwsgi.ini:2: warm-up: not /PATH, and not http://HOST/PATH: \"/a b\"",
        ),
        ("mount = /app", "uwsgi.ini:2: mount: not /POINT=TARGET: \"/app\""),
        (
            "mount = app=app",
            "uwsgi.ini:2: mount: a mount point begins with a slash, \"app\" does not",
        ),
        (
            "mount = /a=a\nmount = /a/=b",
            "uwsgi.ini:3: mount: \"/a\" is taken by uwsgi.ini:2 already",
        ),
        (
            "master = false\nprocesses = 4",
            "uwsgi.ini:3: processes: 4 workers need a master, and uwsgi.ini:2 turns it off: \
             drop that, or say processes = 1",
        ),
        ("logto = /srv/app", "uwsgi.ini:2: logto: is a directory: /srv/app"),
        (
            "chown-socket = :www",
            "uwsgi.ini:2: chown-socket: not USER or USER:GROUP: \":www\"",
        ),
        (
            "set-ph = processes=2",
            "uwsgi.ini:2: set-ph: \"processes\" is an option: say processes = 2, or give the placeholder another name",
        ),
        (
            "set = set=set=a=1",
            "uwsgi.ini:2: set: a set in a set says nothing",
        ),
        ("set = processes", "uwsgi.ini:2: set: NAME=VALUE is needed"),
        (
            "strict = true\nproceses = 2",
            "uwsgi.ini:3: unknown option \"proceses\", did you mean \"processes\"?",
        ),
        (
            "ini = more.ini",
            "uwsgi.ini:2: ini: cannot read \"more.ini\": no such file (looked for /srv/more.ini)",
        ),
        (
            "ini = :web",
            "uwsgi.ini:2: ini: \"uwsgi.ini\" has no section [web], only [uwsgi]",
        ),
        (
            "ini = http://config/app.ini",
            "uwsgi.ini:2: ini: cannot read \"http://config/app.ini\": only files, and - for standard input",
        ),
        (
            "ini = uwsgi.ini",
            "uwsgi.ini:2: ini: files include each other without end: uwsgi.ini → uwsgi.ini",
        ),
        (
            "yaml = app.yml",
            "uwsgi.ini:2: yaml: only INI files are read: say the same in one",
        ),
        (
            "a = %(b)\nb = %(a)",
            "uwsgi.ini:2: a: leads back to itself: %(b) → %(a) → %(b)",
        ),
        (
            "a = @(/no/such)",
            "uwsgi.ini:2: a: cannot read \"/no/such\": no such file",
        ),
        (
            "emperor = /etc/vassals",
            "uwsgi.ini:2: emperor: not supported yet: start one uwrs for each vassal, as in uwrs vassals/blog.ini",
        ),
    ] {
        assert_eq!(Machine::with_lines(lines).faults()[0], expected, "{lines}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_its_places() {
    let machine = Machine::with_lines("threads = x\nprocesses = y\nchdir = z").variable("UWSGI_LISTEN", "w");
    let errors = machine.errors(&["uwsgi.ini", "--buffer-size", "v"]);
    let places: Vec<&str> = errors
        .iter()
        .map(|error| error.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        [
            "UWSGI_LISTEN",
            "uwsgi.ini:2",
            "uwsgi.ini:3",
            "uwsgi.ini:4",
            "--buffer-size",
            "no application",
            "nothing to listen on"
        ]
    );
}

#[test]
fn what_may_stand_in_a_file_that_cannot_be_read_is_not_missed() {
    let machine = Machine::with_lines("ini = more.ini");
    assert_eq!(machine.errors(&["uwsgi.ini"]).len(), 1);
    assert_eq!(machine.errors(&["uwsgi.ini:web"]).len(), 1);
    assert_eq!(machine.errors(&["no.ini"]).len(), 1);
}

#[test]
fn a_wrong_value_that_is_overridden_does_no_harm() {
    let machine = Machine::with_lines("processes = $(WORKERS)\nlisten = many\nlisten = 10");
    let config = machine.config(&["--processes", "2"]);
    assert_eq!((config.processes.workers, config.sockets.backlog), (2, 10));
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn a_chain_of_includes_that_bites_its_tail_is_named() {
    let machine = Machine::with_lines("ini = a.ini:web")
        .file("/srv/a.ini", "[web]\ninclude = b.ini")
        .file("/srv/b.ini", "[uwsgi]\ninclude = ./a.ini:web");
    let expected = "b.ini:2: include: files include each other without end: \
                    uwsgi.ini → a.ini:web → b.ini → ./a.ini:web";
    assert_eq!(machine.faults(), [expected]);
    let machine = Machine::with_lines("inherit = uwsgi.ini");
    let expected = "uwsgi.ini:2: inherit: files include each other without end: uwsgi.ini → uwsgi.ini";
    assert_eq!(machine.faults(), [expected]);
}

#[test]
fn a_file_beside_the_including_one_is_pointed_at() {
    let machine = Machine::new()
        .file("/srv/conf/uwsgi.ini", "[uwsgi]\ninclude = more.ini")
        .file("/srv/conf/more.ini", "[uwsgi]");
    let expected = "conf/uwsgi.ini:2: include: cannot read \"more.ini\": no such file (looked for /srv/more.ini); \
                    for the one beside this file write %dmore.ini";
    assert_eq!(machine.errors(&["conf/uwsgi.ini"])[0], expected);
}

#[test]
fn loops_that_run_away_are_stopped() {
    let machine = Machine::with_lines("for-times = 1000\nfor-times = 1000\na = 1\nendfor =\nendfor =");
    assert_eq!(machine.faults().len(), 1);
    let machine = Machine::with_lines(&"if-env = HOME\n".repeat(100)).variable("HOME", "/");
    assert!(machine.faults()[0].contains("more than 32 blocks in each other"));
    let doubling: Vec<String> = (1..40)
        .map(|n| format!("a{n} = %(a{})%(a{})", n - 1, n - 1))
        .collect();
    let machine = Machine::with_lines(&format!("a0 = x\n{}", doubling.join("\n")));
    assert!(
        machine.faults()[0].contains("grows past 128 KiB"),
        "{:?}",
        machine.faults()
    );
}

#[test]
fn the_command_line_is_refused_in_one_sentence() {
    for (arguments, expected) in [
        (
            vec!["--proceses", "4"],
            "--proceses: unknown option, did you mean --processes?",
        ),
        (vec!["--zzz"], "--zzz: unknown option, see --help"),
        (vec!["-X"], "-X: unknown option, see --help"),
        (vec!["--http"], "--http: needs a value"),
        (
            vec!["app.py"],
            "app.py: not a configuration file; to serve it say --wsgi-file app.py",
        ),
        (
            vec!["app"],
            "app: not the name of an INI file; if it is one, say --ini app",
        ),
        (
            vec!["--post-buffering", "4096"],
            "4096: not the name of an INI file; an option that needs no value takes one behind =, as in \
             --post-buffering=4096",
        ),
        (
            vec!["app.yaml"],
            "app.yaml: only INI files are read: say the same in one",
        ),
        (
            vec!["--check=all"],
            "--check: nothing or app is expected, not \"all\"",
        ),
        (vec!["--help=man"], "--help: no such format: \"man\""),
        (
            vec!["no.ini"],
            "cannot read \"no.ini\": no such file (looked for /srv/no.ini)",
        ),
        (
            vec!["--ini", "/no.ini"],
            "--ini: cannot read \"/no.ini\": no such file",
        ),
        (
            vec!["--http", "--module"],
            "--http: needs a value, and --module is a flag",
        ),
        (
            vec![],
            "nothing to do: name a file, as in uwrs .config/uwsgi.ini, or say what to serve, as in \
             uwrs --http :8000 --module config.wsgi; all else is in uwrs --help",
        ),
        (
            vec!["--http", ":80"],
            "no application: say which, e.g. module = config.wsgi in the file or --module config.wsgi \
             (need-app = false serves without one)",
        ),
        (
            vec!["-w", "app"],
            "nothing to listen on: say where, e.g. http = :8000 in the file or --http :8000, \
             or socket = /run/app.sock for a web server in front",
        ),
    ] {
        assert_eq!(Machine::new().errors(&arguments)[0], expected, "{arguments:?}");
    }
}

#[test]
fn what_is_odd_is_warned_about() {
    for (lines, expected) in [
        (
            "proceses = 2",
            "uwsgi.ini:2: unknown option \"proceses\", did you mean \"processes\"?",
        ),
        (
            "touch_reload = x",
            "uwsgi.ini:2: unknown option \"touch_reload\", did you mean \"touch-reload\"?",
        ),
        (
            "base = /x",
            "uwsgi.ini:2: unknown option \"base\", and nothing refers to it as %(base)",
        ),
        (
            "{% if x %}",
            "uwsgi.ini:2: not a line of the form \"name = value\": \"{if x\"",
        ),
        (
            "legion = 30",
            "uwsgi.ini:2: legion is not supported yet, it is ignored",
        ),
        (
            "static-map = /a=/a\nstatic-map = /b=/b",
            "uwsgi.ini:2: static-map is not supported yet, it is ignored (said 2 times): have the web server in front \
             send the files, or the application (WhiteNoise)",
        ),
        (
            "legion-freq = 3",
            "uwsgi.ini:2: legion-freq is an option of uWSGI that uwrs does not have, it is ignored",
        ),
        (
            "master = tru",
            "uwsgi.ini:2: master: neither true nor false: \"tru\", taken as true",
        ),
        (
            "enable-threads = false",
            "uwsgi.ini:2: enable-threads: cannot be turned off: threads of the application always run",
        ),
        (
            "processes = 2 ; two\nvacuum = true # yes\nhttp = :81 # web",
            "uwsgi.ini:2: processes: the comment behind the value is left out (and in lines 3, 4); uWSGI would take \
             it for a part of the value: give it a line of its own",
        ),
        (
            "module = app  # main",
            "uwsgi.ini:2: module: the comment behind the value is a part of it, as in uWSGI: \
             give it a line of its own",
        ),
        (
            "plugin = http,rack,psgi",
            "uwsgi.ini:2: plugin: not built in, it is ignored: rack, psgi",
        ),
        (
            "endif =",
            "uwsgi.ini:2: endif: stands outside of its block and is ignored",
        ),
        (
            "if-env = HOME",
            "uwsgi.ini:2: if-env: has no end: what follows up to the end of the section belongs to it",
        ),
        (
            "env = A=$(B)",
            "uwsgi.ini:2: env: $(B) is not set in the environment and is left as it is",
        ),
        (
            "env = A=%q",
            "uwsgi.ini:2: env: %q is no magic variable and vanishes: write %%q for the text",
        ),
        (
            "show-config = true",
            "uwsgi.ini:2: show-config: is for the command line only and is ignored: uwrs --show-config",
        ),
        (
            "pythonpath = lib",
            "uwsgi.ini:2: pythonpath: no such directory, Python will not find anything there: /srv/lib",
        ),
        (
            "wsgi-file = a.py\nmodule = b",
            "uwsgi.ini:2: wsgi-file: there is also module = b (uwsgi.ini:3), which was said later and is used",
        ),
    ] {
        assert_eq!(Machine::with_lines(lines).warnings(), [expected], "{lines}");
    }
}

#[test]
fn what_is_fine_is_not_warned_about() {
    for lines in [
        "base = /srv\nprocname = %(base)",
        "base = /srv\nif-opt = base\nendif =",
        "set-ph = base=/srv",
        "strict = true\nbase = /srv\nprocname = %(base)",
        "log-format = %(addr) %(method) $(x)\nunneeded = 1\nprocname = %(unneeded)",
        "enable-threads = true\nsingle-interpreter = true\nneed-app = false",
        "plugin = notfound/http, router_static",
        "env = COLOUR=#fff",
        "pythonpath = lib/*",
    ] {
        let mut warnings = Machine::with_lines(lines).warnings();
        warnings.retain(|warning| !warning.contains("log-format is not supported yet"));
        assert_eq!(warnings, [""; 0], "{lines}");
    }
}

#[test]
fn a_text_that_is_broken_is_told_by_its_line() {
    for (text, expected) in [
        (
            &b"[uwsgi]\na = \xff"[..],
            "uwsgi.ini:2: is not UTF-8: save the file as UTF-8 (iconv -f latin1 -t utf-8)",
        ),
        (b"[uwsgi]\na = \0", "uwsgi.ini:2: holds a NUL byte"),
        (b"[uwsgi]\n = 1", "uwsgi.ini:2: has no name in front of its value"),
    ] {
        assert_eq!(Machine::new().file("/srv/uwsgi.ini", text).faults(), [expected]);
    }
    for (text, expected) in [
        (
            "a = 1\nb = 2\n[uwsgi]",
            "uwsgi.ini:1: what stands before the first section is ignored: put [uwsgi] above it",
        ),
        ("[uwsgi", "uwsgi.ini:1: the section's name has no ] at its end"),
        (
            "[uwsgi] a = 1",
            "uwsgi.ini:1: what is behind the section's ] is ignored",
        ),
        (
            "[django]",
            "\"uwsgi.ini\" has no section [uwsgi], only [django]: nothing is read from it; \
             say which with uwsgi.ini:SECTION",
        ),
    ] {
        assert_eq!(
            Machine::new().file("/srv/uwsgi.ini", text).warnings(),
            [expected],
            "{text}"
        );
    }
    for mark in [&b"\xff\xfe[\0"[..], b"\xfe\xff\0["] {
        let faults = Machine::new().file("/srv/uwsgi.ini", mark).faults();
        let expected = "cannot read \"uwsgi.ini\": it is UTF-16: save the file as UTF-8";
        assert!(faults.len() == 1 && faults[0].ends_with(expected), "{faults:?}");
    }
    let latin = Machine::new().file("/srv/uwsgi.ini", &b"[uwsgi]\n; caf\xe9\n"[..]);
    assert_eq!(latin.warnings(), [""; 0], "a comment may be anything");
}

#[test]
fn an_unknown_variable_of_the_environment_is_told_where_it_looks_like_a_mistake() {
    let machine = Machine::with_lines("procname = $(UWSGI_WORKER)")
        .variable("UWSGI_PROCESES", "2")
        .variable("UWSGI_WORKER", "2")
        .variable("UWSGI_VERSION", "2.0")
        .variable("UWSGI_DEPLOY_TOKEN", "x");
    let expected = "UWSGI_PROCESES: no option is called so, did you mean \"processes\"?";
    assert_eq!(machine.warnings(), [expected]);
}

#[test]
fn to_wait_needs_something_to_wait_for_and_a_number() {
    for (arguments, error) in [
        (vec!["--wait"], "--wait: goes with --reload PIDFILE"),
        (
            vec!["--stop", "x.pid", "--wait"],
            "--wait: goes with --reload PIDFILE",
        ),
        (
            vec!["--reload", "x.pid", "--wait=soon"],
            "--wait: not a number: \"soon\"",
        ),
        (
            vec!["--reload", "x.pid", "--wait=0"],
            "--wait: must be at least 1, not 0",
        ),
    ] {
        assert_eq!(Machine::new().errors(&arguments), [error], "{arguments:?}");
    }
}

#[test]
fn how_many_workers_there_are_at_a_time_must_make_sense() {
    for (lines, error) in [
        (
            "processes = 2\ncheaper = 2",
            "uwsgi.ini:3: cheaper: must be less than processes, which is 2: it is the fewest of them",
        ),
        (
            "processes = 4\ncheaper = 2\ncheaper-initial = 5",
            "uwsgi.ini:4: cheaper-initial: must be between cheaper, 2, and processes, 4",
        ),
        (
            "processes = 4\ncheaper = 2\ncheaper-algo = clever",
            "uwsgi.ini:4: cheaper-algo: no such algorithm: \"clever\", but spare, spare2, backlog, busyness or manual",
        ),
        (
            "processes = 4\ncheaper = 2\ncheaper-busyness-max = 20",
            "uwsgi.ini:4: cheaper-busyness-max: must be more than cheaper-busyness-min, 25",
        ),
        (
            "processes = 4\ncheaper = 2\ncheaper-rss-limit-hard = 10\ncheaper-rss-limit-soft = 20",
            "uwsgi.ini:5: cheaper-rss-limit-soft: must not be more than cheaper-rss-limit-hard, 10",
        ),
    ] {
        let machine = Machine::with_lines(&format!("{lines}\nhttp = :8000\nmodule = app"));
        assert_eq!(machine.errors(&["uwsgi.ini"]), [error], "{lines}");
    }
}

#[test]
fn what_is_not_needed_is_noted_once_for_each_reason() {
    let cases = [
        (
            "thunder-lock",
            "uwsgi.ini:2: thunder-lock is not needed and ignored: the kernel wakes one worker for each connection",
        ),
        (
            "hook-master-start = unix_signal:15 gracefully_kill_them_all",
            "uwsgi.ini:2: hook-master-start is not needed and ignored: TERM stops gracefully anyway",
        ),
        (
            "ignore-sigpipe = true\nignore-write-errors = true",
            "uwsgi.ini:2: ignore-sigpipe, ignore-write-errors are not needed and ignored: that a client has gone is not \
             logged anyway",
        ),
        ("print = hello", "uwsgi.ini:2: hello"),
        ("for-times = 3\nprint = again\nendfor =", "uwsgi.ini:3: again"),
    ];
    for (lines, expected) in cases {
        let machine = Machine::with_lines(lines);
        assert_eq!(machine.notes(), [expected], "{lines}");
        assert_eq!(machine.warnings(), [""; 0], "{lines}");
    }
}
