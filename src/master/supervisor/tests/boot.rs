//! Generations that do not get ready in time.

use super::*;

fn traces(world: &World) -> Vec<Pid> {
    let traced = world.seen.iter().filter_map(|output| match output {
        Output::Trace { pid } => Some(*pid),
        _ => None,
    });
    traced.collect()
}

fn limited(workers: usize) -> World {
    let mut world = World::new(workers);
    world.settings.boot_limit = Duration::from_secs(30);
    world
}

#[test]
fn a_start_that_takes_too_long_ends_and_says_where_it_was() {
    let mut world = limited(1);
    world.mold = Behaviour::Hangs;
    world.start();
    world.pass(Duration::from_secs(29));
    assert_eq!((world.exit.clone(), traces(&world)), (None, Vec::new()));
    let mold = world.mold();
    world.pass(Duration::from_secs(1));
    assert_eq!((world.exit.clone(), traces(&world)), (None, vec![mold]));
    world.pass(TRACE_TIME);
    let reason = "the new generation was not ready within 30 s (boot-timeout)".to_owned();
    assert_eq!(world.exit, Some((1, Some(reason))));
    assert!(world.alive.is_empty());
}

#[test]
fn a_reload_that_takes_too_long_is_given_up_and_each_worker_that_loads_is_asked_where_it_is() {
    let mut world = limited(2);
    world.start();
    world.settle();
    let before = world.workers();
    world.worker = Behaviour::Hangs;
    world.command(Command::Reload);
    world.pass(Duration::from_secs(31));
    assert_eq!(traces(&world).len(), 2);
    assert!(world.logged("generation 2 is not ready after 30 s (boot-timeout); what it does:"));
    assert!(world.logged("generation 1 goes on serving"));
    assert_eq!(world.workers(), before);
}

#[test]
fn who_gets_ready_in_the_last_moment_serves() {
    let mut world = limited(1);
    world.start();
    world.settle();
    world.worker = Behaviour::Hangs;
    world.command(Command::Reload);
    world.pass(Duration::from_secs(30));
    let (_, _, pid) = world.workers()[1];
    let ticket = world.supervisor.tickets;
    world
        .supervisor
        .handle(Input::WorkerReady { ticket, pid }, world.now);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.staff(), [(2, 1)]);
}
