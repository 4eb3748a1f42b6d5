//! The mold's way: load once, freeze, fork workers by two forks each, serve in them, leave.

#![allow(clippy::panic, clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;

use support::Ask;
use uwrs_api::{ForkStage, Runtime, WorkerFacts};
use uwrs_python::Settings;

/// Forks twice, as the mold does, and gives what `work` says in the grandchild.
fn in_a_worker(runtime: &mut dyn Runtime, work: impl FnOnce(&mut dyn Runtime) -> String) -> String {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: two descriptors that nothing else owns.
    let [mut reader, mut writer] = ends.map(|end| unsafe { File::from_raw_fd(end) });
    runtime.fork(ForkStage::Before);
    // SAFETY: the children use what a single thread may use after a fork, and end by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        if unsafe { libc::fork() } == 0 {
            runtime.fork(ForkStage::Child);
            let told = work(runtime);
            let _ = writer.write_all(told.as_bytes());
        }
        // SAFETY: ends this process, and runs nothing of the parent's.
        unsafe { libc::_exit(0) };
    }
    runtime.fork(ForkStage::Parent);
    drop(writer);
    let mut told = String::new();
    reader.read_to_string(&mut told).unwrap();
    // SAFETY: the child is ours.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    told
}

fn serve(runtime: &mut dyn Runtime, number: usize, target: &str) -> String {
    let gateway = runtime
        .enter_worker(WorkerFacts {
            number,
            master: Some(4711),
        })
        .unwrap();
    let server = support::Server { gateway };
    let told = Ask::get(target).send(&server).text();
    server.gateway.rest();
    told
}

#[test]
fn workers_are_forked_from_a_mold_that_has_loaded_the_application() {
    let ended = std::env::temp_dir().join(format!("uwrs-at-exit-{}", std::process::id()));
    // SAFETY: no other thread of this process reads the environment.
    unsafe { std::env::set_var("UWRS_TEST_AT_EXIT", &ended) };
    support::capture_log();
    let mut runtime = uwrs_python::start(Settings {
        argv: vec!["--debug".to_owned()],
        workers: 2,
        chdir2: Some("/".into()),
        options: [
            ("workers", Some("2")),
            ("env", Some("A=1")),
            ("env", Some("B=2")),
            ("master", None),
        ]
        .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
        .to_vec(),
        ..support::settings(&[("", "worker:application"), ("/draw", "worker:draw")])
    })
    .unwrap();
    runtime.load().unwrap();
    runtime.freeze(&mut |_| {});

    for number in [1, 2] {
        let told = in_a_worker(&mut *runtime, |runtime| {
            let told = serve(runtime, number, "/");
            runtime.leave();
            told
        });
        let expected = format!(
            "imported here: False\n\
             forked: ['child', 'hook in worker {number}']\n\
             worker: {number}\n\
             master: 4711\n\
             numproc: 2\n\
             opt: [('enable-threads', True), ('env', [b'A=1', b'B=2']), ('master', True), \
             ('py-call-uwsgi-fork-hooks', True), ('workers', b'2')]\n\
             threads: True\n\
             main: True\n\
             cwd: /\n\
             argv: ['uwrs', '--debug']\n\
             stdout: ('backslashreplace', True)"
        );
        assert_eq!(told, expected);
    }
    let draws = [1, 2].map(|number| in_a_worker(&mut *runtime, |runtime| serve(runtime, number, "/draw")));
    assert_ne!(draws[0], draws[1], "every worker has random numbers of its own");

    let ends = std::fs::read_to_string(&ended).unwrap();
    assert_eq!(
        ends, "worker 1 ends\nworker 2 ends\n",
        "atexit runs in the workers that leave"
    );
    let warnings = support::logged("threads that were started while the application was loaded");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("\"started at import\""));

    let sources = runtime.source_files();
    assert!(sources.contains(&support::apps().join("worker.py")));
    assert!(
        sources.iter().all(|path| !path.ends_with("threading.py")),
        "{sources:?}"
    );
}
