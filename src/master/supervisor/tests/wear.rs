//! Workers that have reached a limit.

use super::*;
use crate::master::supervisor::wear::WEAR_PAUSE;

/// The worker in that place of the list is said to be worn.
fn worn(world: &mut World, index: usize) -> Pid {
    let pid = world.workers()[index].2;
    let reason = "has served 1000 requests (max-requests = 1000)".to_owned();
    world.supervisor.handle(Input::Worn { pid, reason }, world.now);
    world.settle();
    pid
}

fn forks(world: &World) -> usize {
    let forks = world.seen.iter();
    forks
        .filter(|output| matches!(output, Output::Fork { .. }))
        .count()
}

#[test]
fn another_takes_the_place_of_a_worn_worker_before_it_leaves() {
    let mut world = World::up(2);
    world.most_workers = 0;
    let old = worn(&mut world, 0);
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    assert_eq!(
        world.most_workers, 3,
        "the new one was there before the old one left"
    );
    assert!(world.workers().iter().all(|worker| worker.2 != old));
    let line = format!("worker 1 (pid {old}) has served 1000 requests (max-requests = 1000) and is replaced");
    assert!(world.log.contains(&(Level::Info, line)), "{:?}", world.log);
    assert_eq!(world.supervisor.slots.taken(), 2);
}

#[test]
fn the_old_one_stays_as_long_as_the_new_one_is_not_ready() {
    let mut world = World::up(1);
    world.worker = Behaviour::Hangs;
    let old = worn(&mut world, 0);
    world.pass(Duration::from_secs(60));
    assert!(world.alive.contains_key(&old));
    assert_eq!(world.staff(), [(1, 1), (1, 1)]);
}

#[test]
fn one_worn_worker_is_replaced_at_a_time() {
    let mut world = World::up(3);
    world.stubborn = true;
    let first = worn(&mut world, 0);
    for index in 0..3 {
        worn(&mut world, index);
    }
    assert_eq!(forks(&world), 4, "the others wait until it has left");
    world.stubborn = false;
    world.kill(first);
    let second = worn(&mut world, 1);
    assert_eq!(forks(&world), 5);
    assert!(!world.alive.contains_key(&second));
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn a_worn_worker_that_does_not_leave_in_time_is_killed() {
    let mut world = World::up(1);
    world.stubborn = true;
    let old = worn(&mut world, 0);
    world.pass(Duration::from_secs(59));
    assert!(world.alive.contains_key(&old));
    world.pass(Duration::from_secs(1));
    assert!(!world.alive.contains_key(&old));
    assert_eq!(world.staff(), [(1, 1)]);
}

#[test]
fn where_no_new_one_comes_up_the_worn_one_goes_on_and_it_is_not_tried_at_once_again() {
    for behaviour in [Behaviour::Dies, Behaviour::Fails(22)] {
        let mut world = World::up(1);
        world.worker = behaviour;
        let old = worn(&mut world, 0);
        for _ in 0..10 {
            worn(&mut world, 0);
        }
        assert_eq!(forks(&world), 2);
        assert_eq!(world.workers()[0].2, old);
        assert!(
            world.logged("a worker that has reached a limit is not replaced"),
            "{:?}",
            world.log
        );
        world.worker = Behaviour::Works;
        world.pass(WEAR_PAUSE);
        worn(&mut world, 0);
        assert_ne!(world.workers()[0].2, old);
        assert_eq!(world.staff(), [(1, 1)]);
    }
}

#[test]
fn a_reload_replaces_worn_workers_anyway() {
    let mut world = World::up(2);
    world.mold = Behaviour::Hangs;
    world.command(Command::Reload);
    worn(&mut world, 0);
    assert_eq!(forks(&world), 2);
    assert!(!world.logged("is replaced"));
}

#[test]
fn a_worn_worker_waits_for_a_mold() {
    let mut world = World::up(1);
    world.mold = Behaviour::Hangs;
    let mold = world.mold();
    world.kill(mold);
    let old = worn(&mut world, 0);
    assert_eq!(world.workers()[0].2, old);
    assert!(!world.logged("is replaced"));
}

#[test]
fn who_must_not_live_is_killed_and_replaced() {
    let mut world = World::up(2);
    let pid = world.workers()[0].2;
    let reason = "has 500 MB of memory resident (evil-reload-on-rss = 400)".to_owned();
    world.supervisor.handle(Input::Deadly { pid, reason }, world.now);
    world.settle();
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    assert!(world.workers().iter().all(|worker| worker.2 != pid));
    assert!(world.logged(&format!(
        "worker 1 (pid {pid}) has 500 MB of memory resident (evil-reload-on-rss = 400) and was killed"
    )));
    assert!(!world.logged("SIGKILL"), "nobody is to look for who did that");
}
