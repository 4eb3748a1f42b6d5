//! How many workers there are at a time: as many as are needed, or none.

use super::*;
use crate::config::{Algorithm, Cheaper, Scaling};

const CHEAPER: Cheaper = Cheaper {
    least: 1,
    initial: 2,
    step: 1,
    algorithm: Algorithm::Spare { overload: 1 },
    soft_memory: None,
    hard_memory: None,
};

const IDLE: Scaling = Scaling {
    cheaper: None,
    idle: Some(Duration::from_secs(10)),
    die_on_idle: false,
    cheap: false,
};

/// Any of them.
pub(super) fn random(chance: &mut Chance) -> Scaling {
    Scaling {
        cheaper: chance.one_in(2).then_some(CHEAPER),
        idle: chance.one_in(2).then_some(Duration::from_secs(3)),
        die_on_idle: false,
        cheap: chance.one_in(3),
    }
}

/// Any load.
pub(super) fn measure(chance: &mut Chance) -> Measured {
    Measured {
        busy: chance.below(5),
        is_used: chance.one_in(2),
        ..Measured::default()
    }
}

impl World {
    fn scaled(workers: usize, scaling: Scaling) -> Self {
        let mut world = Self::new(workers);
        world.settings.scaling = scaling;
        world.start();
        world.settle();
        world
    }

    /// A second passes in which so many workers are busy.
    fn second(&mut self, busy: usize) {
        self.pass(Duration::from_secs(1));
        let measured = Measured {
            busy,
            is_used: busy > 0,
            ..Measured::default()
        };
        self.supervisor.handle(Input::Measured(measured), self.now);
        self.settle();
    }

    fn knock(&mut self) {
        self.supervisor.handle(Input::Knock, self.now);
        self.settle();
    }

    fn count(&self) -> usize {
        self.workers().len()
    }
}

fn cheaper(workers: usize) -> World {
    let scaling = Scaling {
        cheaper: Some(CHEAPER),
        ..Scaling::default()
    };
    World::scaled(workers, scaling)
}

#[test]
fn workers_come_with_the_load_and_go_with_it() {
    let mut world = cheaper(4);
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    assert!(
        world
            .notices
            .contains(&Notice::Ready("2 of 4 workers serve generation 1".into()))
    );
    for expected in [3, 4, 4] {
        world.second(world.count());
        assert_eq!(world.count(), expected);
    }
    for expected in [3, 2, 1, 1] {
        world.second(0);
        assert_eq!(world.count(), expected);
    }
    assert_eq!(world.staff(), [(1, 1)]);
    assert_eq!(world.supervisor.slots.taken(), 1);
    let leaves = world.seen.iter().filter(|output| {
        matches!(
            output,
            Output::Leave {
                urge: Urge::Drain,
                ..
            }
        )
    });
    assert_eq!(leaves.count(), 3, "all were asked to finish what they had");
}

#[test]
fn who_dies_is_replaced_and_who_was_sent_away_is_not() {
    let mut world = cheaper(3);
    world.kill(world.workers()[0].2);
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    world.stubborn = true;
    world.second(0);
    let leaving = world.workers()[1].2;
    world.kill(leaving);
    assert_eq!(world.staff(), [(1, 1)]);
}

#[test]
fn a_reload_keeps_those_who_came_for_the_load() {
    for command in [Command::Reload, Command::ChainReload] {
        let mut world = cheaper(4);
        world.second(2);
        world.command(command);
        assert_eq!(world.staff(), [(2, 1), (2, 2), (2, 3)]);
        world.second(0);
        world.second(0);
        world.command(command);
        assert_eq!(world.staff(), [(3, 1), (3, 2)], "not fewer than at a start");
    }
}

#[test]
fn nothing_is_changed_during_a_reload_or_a_pause() {
    let mut world = cheaper(4);
    world.worker = Behaviour::Hangs;
    world.command(Command::Reload);
    world.second(2);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    let mut world = cheaper(4);
    world.command(Command::TogglePause);
    world.second(2);
    assert_eq!(world.count(), 2);
}

#[test]
fn operators_may_add_and_take_workers_beside_it() {
    let mut world = cheaper(3);
    for expected in [3, 4] {
        world.command(Command::MoreWorkers);
        assert_eq!(
            world.count(),
            expected,
            "first as many as there may be, then more"
        );
    }
    for expected in [3, 2, 1, 1] {
        world.command(Command::FewerWorkers);
        assert_eq!(world.count(), expected);
    }
    assert!(world.logged("no worker less: cheaper = 1 are the fewest"));
    // There may be 4 now.
    for _ in 0..5 {
        world.second(world.count());
    }
    assert_eq!(world.count(), 4);
}

#[test]
fn a_server_that_nobody_uses_has_no_workers_until_someone_asks() {
    let mut world = World::scaled(2, IDLE);
    for _ in 0..9 {
        world.second(0);
    }
    assert_eq!(world.count(), 2);
    world.second(1);
    for _ in 0..10 {
        world.second(0);
    }
    assert_eq!(world.count(), 0);
    assert!(world.supervisor.is_asleep());
    assert!(world.logged("asleep: nobody has asked for anything for 10 s"));
    assert_eq!(world.supervisor.next_deadline(), None, "it sleeps");
    world.knock();
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    world.knock();
    assert_eq!(world.count(), 2);
    assert_eq!(world.exit, None);
}

#[test]
fn a_pause_is_not_idleness() {
    let mut world = World::scaled(2, IDLE);
    world.command(Command::TogglePause);
    for _ in 0..20 {
        world.second(0);
    }
    world.command(Command::TogglePause);
    for _ in 0..9 {
        world.second(0);
    }
    assert_eq!(world.count(), 2);
    world.second(0);
    assert_eq!(world.count(), 0);
}

#[test]
fn a_reload_does_not_wake_it_and_finds_what_is_broken() {
    let mut world = World::scaled(2, IDLE);
    world.command(Command::GoCheap);
    assert_eq!(world.count(), 0);
    world.command(Command::Reload);
    assert_eq!(
        (world.count(), world.supervisor.current_generation()),
        (0, Some(2))
    );
    world.mold = Behaviour::Fails(22);
    world.command(Command::Reload);
    assert!(world.logged("reload failed: SyntaxError; generation 2 goes on serving"));
    world.mold = Behaviour::Works;
    world.knock();
    assert_eq!(world.staff(), [(2, 1), (2, 2)]);
}

#[test]
fn a_server_may_start_asleep_and_with_fewer_than_all() {
    let scaling = Scaling {
        cheap: true,
        cheaper: Some(CHEAPER),
        ..Scaling::default()
    };
    let mut world = World::scaled(4, scaling);
    assert_eq!(
        world.notices,
        [Notice::Ready("0 of 4 workers serve generation 1, asleep".into())]
    );
    assert_eq!(world.count(), 0);
    world.knock();
    assert_eq!(world.count(), 2);
    // What is broken ends the start all the same.
    let mut world = World::new(4);
    world.settings.scaling = scaling;
    world.mold = Behaviour::Fails(22);
    world.start();
    world.settle();
    assert_eq!(world.exit, Some((22, Some("SyntaxError".into()))));
}

#[test]
fn it_may_end_instead() {
    let mut world = World::scaled(
        2,
        Scaling {
            die_on_idle: true,
            ..IDLE
        },
    );
    for _ in 0..10 {
        world.second(0);
    }
    assert_eq!(world.exit, Some((0, None)));
    assert!(world.alive.is_empty());
}

#[test]
fn one_worker_more_wakes_it_and_a_worker_less_lets_it_sleep() {
    let mut world = World::scaled(2, IDLE);
    world.command(Command::GoCheap);
    world.command(Command::FewerWorkers);
    assert_eq!(world.count(), 0);
    world.command(Command::MoreWorkers);
    assert_eq!(world.count(), 1);
    world.command(Command::MoreWorkers);
    assert_eq!(world.count(), 2);
}

#[test]
fn a_re_executed_master_knows_which_seats_were_closed() {
    for scaling in [
        IDLE,
        Scaling {
            cheaper: Some(CHEAPER),
            ..Scaling::default()
        },
    ] {
        let mut before = World::scaled(4, scaling);
        if scaling == IDLE {
            before.command(Command::GoCheap);
        }
        let count = before.count();
        let handover = before.supervisor.handover().unwrap();
        let mut after = World::new(4);
        after.settings.scaling = scaling;
        (after.alive, after.last_pid) = (before.alive, before.last_pid);
        after.most_workers = 0;
        after.supervisor.adopt(&handover, after.now);
        after.start();
        after.settle();
        assert_eq!(after.count(), count);
        assert_eq!(after.supervisor.current_generation(), Some(2));
        assert!(after.most_workers <= 2 * count, "nobody was woken");
    }
}
