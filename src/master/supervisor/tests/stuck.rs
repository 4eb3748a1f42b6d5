//! Workers with a request that is stuck.

use super::*;

const GRACE: Duration = Duration::from_secs(10);

/// The worker of that process is said to be stuck.
fn stuck(world: &mut World, pid: Pid) {
    world
        .supervisor
        .handle(Input::Stuck { pid, grace: GRACE }, world.now);
    world.settle();
}

/// A server of so many workers that don't leave when told to, and its first worker.
fn stubborn(workers: usize) -> (World, Pid) {
    let mut world = World::up(workers);
    world.stubborn = true;
    let pid = world.workers()[0].2;
    (world, pid)
}

#[test]
fn another_takes_over_and_the_stuck_one_is_killed_after_its_grace() {
    let (mut world, pid) = stubborn(2);
    stuck(&mut world, pid);
    assert_eq!(world.staff(), [(1, 1), (1, 1), (1, 2)]);
    let told = Output::Leave {
        pid,
        urge: Urge::Drain,
    };
    assert_eq!(world.seen.iter().filter(|output| **output == told).count(), 1);
    for _ in 0..9 {
        world.pass(Duration::from_secs(1));
        stuck(&mut world, pid);
        assert!(world.alive.contains_key(&pid), "it has some grace");
    }
    world.pass(Duration::from_secs(1));
    assert!(!world.alive.contains_key(&pid));
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    let overdue = world.seen.iter().find_map(|output| match output {
        Output::Overdue { what, mercy, .. } => Some((what.clone(), *mercy)),
        _ => None,
    });
    assert_eq!(overdue, Some(("worker 1".to_owned(), GRACE)));
    assert_eq!(world.supervisor.slots.taken(), 2);
}

#[test]
fn one_that_comes_to_its_senses_leaves_in_peace() {
    let mut world = World::up(1);
    let pid = world.workers()[0].2;
    stuck(&mut world, pid);
    assert!(!world.alive.contains_key(&pid));
    assert!(world.logged(&format!("worker 1 (pid {pid}) left")));
    assert!(
        !world
            .seen
            .iter()
            .any(|output| matches!(output, Output::Overdue { .. }))
    );
}

#[test]
fn those_that_are_stuck_at_the_same_time_do_not_wait_for_each_other() {
    let (mut world, _) = stubborn(3);
    world.worker = Behaviour::Hangs;
    for (_, _, pid) in world.workers() {
        stuck(&mut world, pid);
    }
    assert_eq!(world.staff().len(), 6, "three successors are on their way");
}

#[test]
fn a_stuck_worker_is_not_left_alive_where_no_other_comes_up() {
    for behaviour in [Behaviour::Dies, Behaviour::Fails(22)] {
        let (mut world, pid) = stubborn(1);
        world.worker = behaviour;
        stuck(&mut world, pid);
        assert!(!world.alive.contains_key(&pid));
        assert!(
            world.logged("is stuck and is killed; its successor: "),
            "{:?}",
            world.log
        );
        world.worker = Behaviour::Works;
        world.pass(Duration::from_secs(10));
        assert_eq!(world.staff(), [(1, 1)]);
    }
}

#[test]
fn one_that_is_being_replaced_already_has_no_more_than_its_grace() {
    let (mut world, pid) = stubborn(1);
    world.command(Command::Reload);
    assert_eq!(world.staff(), [(1, 1), (2, 1)]);
    stuck(&mut world, pid);
    world.pass(GRACE);
    assert_eq!(world.staff(), [(2, 1)]);

    let (mut world, pid) = stubborn(1);
    world.worker = Behaviour::Hangs;
    let reason = "is worn".to_owned();
    world.supervisor.handle(Input::Worn { pid, reason }, world.now);
    world.settle();
    stuck(&mut world, pid);
    let heir = world.workers()[1].2;
    let ticket = world.supervisor.tickets;
    world
        .supervisor
        .handle(Input::WorkerReady { ticket, pid: heir }, world.now);
    world.pass(GRACE);
    assert!(!world.alive.contains_key(&pid));
}

#[test]
fn a_worker_is_replaced_also_while_a_reload_is_under_way() {
    let (mut world, pid) = stubborn(1);
    world.mold = Behaviour::Hangs;
    world.command(Command::Reload);
    stuck(&mut world, pid);
    assert_eq!(world.staff(), [(1, 1), (1, 1)]);
    world.pass(GRACE);
    assert!(!world.alive.contains_key(&pid));
    assert_eq!(world.staff(), [(1, 1)]);
}

#[test]
fn a_stuck_worker_does_not_hold_up_a_stop_for_longer_than_its_grace() {
    let (mut world, pid) = stubborn(1);
    world.command(Command::Terminate);
    stuck(&mut world, pid);
    world.pass(GRACE);
    assert_eq!(world.exit, Some((0, None)));
}

#[test]
fn a_stuck_worker_that_dies_by_itself_is_replaced_once() {
    let (mut world, pid) = stubborn(1);
    world.worker = Behaviour::Hangs;
    stuck(&mut world, pid);
    world.kill(pid);
    assert_eq!(world.staff(), [(1, 1)]);
    assert_eq!(world.supervisor.slots.taken(), 1);
}
