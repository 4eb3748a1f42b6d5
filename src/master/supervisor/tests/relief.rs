//! One worker takes over from another: chain reloads and new workers for the generation that serves.

use super::*;

fn pids(world: &World) -> Vec<Pid> {
    world.workers().into_iter().map(|(_, _, pid)| pid).collect()
}

/// A server of so many workers, which counts how many there are at a time from now on.
fn counting(workers: usize) -> World {
    let mut world = World::up(workers);
    world.most_workers = 0;
    world
}

#[test]
fn a_chain_reload_replaces_one_worker_at_a_time() {
    let mut world = counting(3);
    world.command(Command::ChainReload);
    assert_eq!(world.staff(), [(2, 1), (2, 2), (2, 3)]);
    assert_eq!(world.most_workers, 4);
    assert!(world.seen.contains(&Output::Retired { generation: 1 }));
    assert!(world.logged("worker 3 of generation 2 (pid "));
    assert_eq!(world.supervisor.slots.taken(), 3);
}

#[test]
fn the_next_one_waits_until_the_old_one_has_left() {
    let mut world = counting(2);
    world.stubborn = true;
    world.command(Command::ChainReload);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (2, 1)]);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.staff(), [(1, 1), (1, 2), (2, 1)]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.staff(), [(1, 2), (2, 1), (2, 2)]);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.staff(), [(2, 1), (2, 2)]);
}

#[test]
fn the_mercy_of_old_workers_is_not_held_against_the_new_generation() {
    let mut world = World::new(3);
    world.settings.mercy = RELOAD_LIMIT;
    world.start();
    world.settle();
    world.stubborn = true;
    world.command(Command::ChainReload);
    world.pass(RELOAD_LIMIT * 3);
    assert_eq!(world.staff(), [(2, 1), (2, 2), (2, 3)]);
    assert!(!world.logged("reload failed"));
}

#[test]
fn a_generation_that_is_broken_replaces_nobody() {
    for (mold, worker) in [
        (Behaviour::Fails(22), Behaviour::Works),
        (Behaviour::Works, Behaviour::Fails(22)),
        (Behaviour::Works, Behaviour::Dies),
        (Behaviour::Works, Behaviour::Hangs),
    ] {
        let mut world = World::up(2);
        let before = pids(&world);
        (world.mold, world.worker) = (mold, worker);
        world.command(Command::ChainReload);
        world.pass(RELOAD_LIMIT);
        assert_eq!(pids(&world), before);
        assert!(world.logged("generation 1 goes on serving"), "{:?}", world.log);
    }
}

#[test]
fn a_generation_that_breaks_half_way_is_given_up_and_the_old_one_is_complete_again() {
    let mut world = World::up(3);
    world.stubborn = true;
    world.command(Command::ChainReload);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    world.worker = Behaviour::Fails(22);
    world.stubborn = false;
    world.pass(Duration::from_secs(60));
    world.worker = Behaviour::Works;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3)]);
    assert!(world.logged("reload failed: worker 2: SyntaxError; generation 1 goes on serving"));
}

#[test]
fn a_brutal_reload_does_not_wait_for_a_chain() {
    let mut world = World::new(2);
    world.settings.die_on_term = false;
    world.start();
    world.settle();
    world.stubborn = true;
    world.command(Command::ChainReload);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (2, 1)]);
    world.stubborn = false;
    world.command(Command::Terminate);
    world.pass(Duration::from_secs(60));
    // The chain was cut short, and the reload that was asked for followed.
    assert_eq!(world.staff(), [(3, 1), (3, 2)]);
}

#[test]
fn workers_die_and_come_and_go_during_a_chain_reload() {
    let mut world = World::up(3);
    world.stubborn = true;
    world.command(Command::ChainReload);
    let of = |world: &World, generation| {
        let workers = world.workers();
        let found = workers.iter().rev().find(|worker| worker.0 == generation);
        found.expect("a worker").2
    };
    let (old, new) = (of(&world, 1), of(&world, 2));
    world.kill(old);
    world.kill(new);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    world.command(Command::MoreWorkers);
    world.stubborn = false;
    world.pass(Duration::from_secs(60));
    assert_eq!(world.staff(), [(2, 1), (2, 2), (2, 3), (2, 4)]);
}

#[test]
fn new_workers_of_the_same_generation_come_one_at_a_time_and_first() {
    let mut world = counting(3);
    let before = pids(&world);
    world.command(Command::RenewWorkers);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(world.most_workers, 4);
    assert!(pids(&world).iter().all(|pid| !before.contains(pid)));
    assert!(!world.seen.contains(&Output::Reread));
    assert!(world.logged(&format!("takes over from pid {}", before[2])));
    assert_eq!(world.supervisor.slots.taken(), 3);
    assert_eq!(world.supervisor.next_deadline(), None);
}

#[test]
fn where_a_new_worker_does_not_come_up_nobody_is_replaced() {
    for behaviour in [Behaviour::Fails(22), Behaviour::Dies, Behaviour::Hangs] {
        let mut world = World::up(3);
        let before = pids(&world);
        world.worker = behaviour;
        world.command(Command::RenewWorkers);
        world.pass(RELOAD_LIMIT);
        assert_eq!(pids(&world), before);
        assert!(
            world.logged("the workers are not replaced: the successor of worker 1: "),
            "{:?}",
            world.log
        );
        let forks = world
            .seen
            .iter()
            .filter(|output| matches!(output, Output::Fork { .. }))
            .count();
        assert_eq!(forks, 4, "one attempt");
        assert_eq!(world.supervisor.slots.taken(), 3);
        world.worker = Behaviour::Works;
        world.command(Command::RenewWorkers);
        assert!(
            pids(&world).iter().all(|pid| !before.contains(pid)),
            "another attempt may go well"
        );
    }
}

#[test]
fn who_dies_while_its_successor_comes_is_replaced_by_that_one() {
    let mut world = World::up(1);
    world.worker = Behaviour::Hangs;
    world.command(Command::RenewWorkers);
    let (victim, successor) = (pids(&world)[0], pids(&world)[1]);
    world.kill(victim);
    assert_eq!(pids(&world), [successor]);
    let ticket = world.supervisor.tickets;
    let ready = Input::WorkerReady {
        ticket,
        pid: successor,
    };
    world.supervisor.handle(ready, world.now);
    world.settle();
    assert_eq!(world.supervisor.status(), "1 of 1 worker serve generation 1");
    assert_eq!(world.supervisor.slots.taken(), 1);
}

#[test]
fn a_reload_and_a_stop_take_successors_along() {
    for command in [Command::Reload, Command::Interrupt] {
        let mut world = World::up(2);
        world.worker = Behaviour::Hangs;
        world.command(Command::RenewWorkers);
        assert_eq!(world.staff().len(), 3);
        world.worker = Behaviour::Works;
        world.command(command);
        let left: Vec<u64> = world.staff().iter().map(|(generation, _)| *generation).collect();
        let expected: &[u64] = if command == Command::Reload { &[2, 2] } else { &[] };
        assert_eq!(left, expected);
    }
}

#[test]
fn a_mold_that_dies_or_does_not_fork_does_not_lose_a_successor() {
    let mut world = World::up(2);
    let before = pids(&world);
    world
        .supervisor
        .handle(Input::Command(Command::RenewWorkers), world.now);
    // The wish to fork is on its way when the mold dies.
    let mold = world.mold();
    world.supervisor.outputs.clear();
    world.kill(mold);
    world.pass(Duration::from_secs(1));
    assert!(pids(&world).iter().all(|pid| !before.contains(pid)));
    assert_eq!(world.supervisor.slots.taken(), 2);
}
