//! Applications that take too long to load (`boot-timeout`).

use std::time::{Duration, Instant};

use crate::support::{HTTP, Server};

const SLOW: &str = "\
import time

def wait_for_something():
    time.sleep(3600)

wait_for_something()
";

#[test]
fn a_start_that_takes_too_long_ends_and_says_where_it_was() {
    let begun = Instant::now();
    let finished = Server::new()
        .app(SLOW)
        .ini(&format!("{HTTP}boot-timeout = 1\n"))
        .run();
    finished.assert_refused(1, &["generation 1 is not ready after 1 s (boot-timeout)"]);
    finished.assert_refused(
        1,
        &["cannot start: the new generation was not ready within 1 s (boot-timeout)"],
    );
    finished.assert_refused(1, &["app.py", "in wait_for_something"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_reload_that_takes_too_long_leaves_the_old_workers_alone_and_says_where_it_was() {
    for lazy in [false, true] {
        let server = Server::new()
            .ini(&format!("{HTTP}boot-timeout = 2\nlazy-apps = {lazy}\n"))
            .start();
        let pid = server.get("/pid").text().to_owned();
        server.write("app.py", SLOW);
        server.reload();
        server.wait_for_log(&["app.py", "in wait_for_something"]);
        server.wait_for_log(&[
            "reload failed: ",
            "(boot-timeout)",
            "generation 1 goes on serving",
        ]);
        assert_eq!(server.get("/pid").text(), pid);
        server.settle(1);
    }
}
