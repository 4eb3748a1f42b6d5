//! Those who ask for a reload and wait hear how it went, each once.

use super::*;

impl World {
    /// Someone asks, and everything follows that needs no time.
    fn ask(&mut self, client: ClientId) {
        self.supervisor.handle(Input::ReloadFor(client), self.now);
        self.settle();
    }
}

#[test]
fn who_waits_for_a_reload_hears_which_generation_serves() {
    let mut world = World::up(2);
    world.ask(1);
    world.ask(2);
    assert_eq!(world.answers, [(1, Ok(2)), (2, Ok(3))]);
    // Nobody waits for this one.
    world.command(Command::Reload);
    assert_eq!(world.answers.len(), 2);
}

#[test]
fn who_waits_hears_why_a_reload_failed() {
    let mut world = World::up(1);
    world.reread = Err("uwsgi.ini:3: no".into());
    world.ask(1);
    world.reread = Ok(());
    world.mold = Behaviour::Fails(22);
    world.ask(2);
    (world.mold, world.worker) = (Behaviour::Works, Behaviour::Fails(22));
    world.ask(3);
    world.worker = Behaviour::Hangs;
    world.ask(4);
    assert_eq!(world.answers.len(), 3);
    world.pass(RELOAD_LIMIT);
    let error = |text: &str| Err(text.to_owned());
    let expected = [
        (1, error("uwsgi.ini:3: no")),
        (2, error("SyntaxError")),
        (3, error("worker 1: SyntaxError")),
        (
            4,
            error("the new generation was not ready within 600 s (boot-timeout)"),
        ),
    ];
    assert_eq!(world.answers, expected);
}

#[test]
fn who_asks_during_a_reload_hears_of_the_next_one() {
    let mut world = World::up(1);
    world.worker = Behaviour::Hangs;
    world.ask(1);
    world.ask(2);
    world.ask(3);
    assert_eq!(world.answers, []);
    // The one that hangs.
    world.worker = Behaviour::Works;
    let hanging = *world.alive.keys().last().unwrap();
    world.kill(hanging);
    assert_eq!(world.answers, [(1, Ok(2)), (2, Ok(3)), (3, Ok(3))]);
}

#[test]
fn who_waits_when_the_server_stops_hears_that() {
    let mut world = World::up(1);
    world.worker = Behaviour::Hangs;
    world.ask(1);
    world.ask(2);
    world.stubborn = true;
    world.command(Command::Interrupt);
    world.ask(3);
    let stopping = || Err("the server is stopping".to_owned());
    assert_eq!(world.answers, [(1, stopping()), (2, stopping()), (3, stopping())]);
}

#[test]
fn who_asks_during_the_start_hears_of_the_reload_that_follows() {
    let mut world = World::new(1);
    world.start();
    world.ask(1);
    assert_eq!(world.answers, [(1, Ok(2))]);
    let mut world = World::new(1);
    world.mold = Behaviour::Fails(22);
    world.start();
    world.ask(1);
    assert_eq!(world.answers, [(1, Err("the server is stopping".to_owned()))]);
}
