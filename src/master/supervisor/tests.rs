//! The supervisor against a world of processes that exist only here: tables of what operators see, and random
//! lives with invariants.

mod answers;
mod boot;
mod relief;
mod scaling;
mod stuck;
mod wear;

use std::collections::BTreeMap;

use super::*;
use crate::sys::Ending;

/// How processes of the world behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Works,
    Fails(i32),
    Dies,
    Hangs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Mold {
        generation: u64,
    },
    Worker {
        generation: u64,
        number: usize,
        slot: SlotIndex,
    },
}

struct World {
    supervisor: Supervisor,
    now: Instant,
    alive: BTreeMap<Pid, Kind>,
    last_pid: Pid,
    /// Things on their way to the master.
    events: VecDeque<Input>,
    settings: Settings,
    /// What the next reading of the configuration gives.
    reread: Result<(), String>,
    mold: Behaviour,
    worker: Behaviour,
    /// Workers do not leave when they are told to.
    stubborn: bool,
    can_fork: bool,
    log: Vec<(Level, String)>,
    notices: Vec<Notice>,
    seen: Vec<Output>,
    /// What those who asked for reloads were told.
    answers: Vec<(ClientId, Result<u64, String>)>,
    /// Most workers at a time.
    most_workers: usize,
    exit: Option<(i32, Option<String>)>,
}

/// How long a generation may take here, and give account of itself.
const RELOAD_LIMIT: Duration = BOOT_LIMIT.saturating_add(TRACE_TIME);

const KILLED: Ending = Ending::Killed {
    signal: 9,
    core_dumped: false,
};

impl World {
    fn new(workers: usize) -> Self {
        Self {
            supervisor: Supervisor::new(64),
            now: Instant::now(),
            alive: BTreeMap::new(),
            last_pid: 1000,
            events: VecDeque::new(),
            settings: Settings {
                workers,
                scaling: crate::config::Scaling::default(),
                mercy: Duration::from_secs(60),
                boot_limit: BOOT_LIMIT,
                die_on_term: true,
            },
            reread: Ok(()),
            mold: Behaviour::Works,
            worker: Behaviour::Works,
            stubborn: false,
            can_fork: true,
            log: Vec::new(),
            notices: Vec::new(),
            seen: Vec::new(),
            answers: Vec::new(),
            most_workers: 0,
            exit: None,
        }
    }

    /// A server that is up.
    fn up(workers: usize) -> Self {
        let mut world = Self::new(workers);
        world.start();
        world.settle();
        world
    }

    fn start(&mut self) {
        self.supervisor.start(Ok(self.settings), self.now);
    }

    fn command(&mut self, command: Command) {
        self.supervisor.handle(Input::Command(command), self.now);
        self.settle();
    }

    /// Everything that follows without time passing.
    fn settle(&mut self) {
        loop {
            self.perform_outputs();
            let Some(event) = self.events.pop_front() else {
                return;
            };
            self.supervisor.handle(event, self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.settle();
        let end = self.now + time;
        while let Some(due) = self.supervisor.next_deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.supervisor.handle(Input::Tick, self.now);
            self.settle();
        }
        self.now = end;
        self.supervisor.handle(Input::Tick, self.now);
        self.settle();
    }

    fn perform_outputs(&mut self) {
        while let Some(output) = self.supervisor.take_output() {
            self.seen.push(output.clone());
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::StartMold { mold, generation, .. } => self.start_mold(mold, generation),
            Output::Fork {
                mold: _,
                ticket,
                number,
                slot,
            } => self.fork(ticket, number, slot),
            Output::DismissMold { pid } => self.dies(pid, Ending::Exited(0)),
            Output::Leave {
                pid,
                urge: Urge::Kill,
            } => self.dies(pid, KILLED),
            Output::Leave { pid, .. } if !self.stubborn => self.dies(pid, Ending::Exited(0)),
            Output::Reread => {
                let result = self.reread.clone().map(|()| self.settings);
                self.events.push_back(Input::Reread(result));
            }
            Output::Preflight => self.events.push_back(Input::Preflight(Ok(()))),
            Output::Answer { client, outcome } => self.answers.push((client, outcome)),
            Output::Notify(notice) => self.notices.push(notice),
            Output::Log(level, text) => self.log.push((level, text)),
            Output::Exit { status, reason } => self.exit = Some((status, reason)),
            _ => {}
        }
    }

    fn new_pid(&mut self, kind: Kind) -> Pid {
        self.last_pid += 1;
        self.alive.insert(self.last_pid, kind);
        self.most_workers = self.most_workers.max(self.workers().len());
        self.last_pid
    }

    fn start_mold(&mut self, mold: MoldId, generation: u64) {
        let pid = self.new_pid(Kind::Mold { generation });
        // The master says so before it hears anything else.
        self.supervisor.handle(Input::MoldStarted { mold, pid }, self.now);
        match self.mold {
            Behaviour::Works => self.events.push_back(Input::MoldReady { mold }),
            Behaviour::Fails(status) => {
                self.events.push_back(Input::MoldFailed {
                    mold,
                    status,
                    reason: "SyntaxError".into(),
                });
                self.dies(pid, Ending::Exited(status));
            }
            Behaviour::Dies => self.dies(pid, KILLED),
            Behaviour::Hangs => {}
        }
    }

    fn fork(&mut self, ticket: Ticket, number: usize, slot: SlotIndex) {
        if !self.can_fork {
            let reason = "Resource temporarily unavailable".into();
            self.events.push_back(Input::NotForked { ticket, reason });
            return;
        }
        let generation = self.supervisor.generation_that_waits_for(ticket);
        let pid = self.new_pid(Kind::Worker {
            generation,
            number,
            slot,
        });
        let forked = Input::Forked { ticket, pid };
        let ready = Input::WorkerReady { ticket, pid };
        match self.worker {
            // Either may come first.
            Behaviour::Works if pid % 2 == 0 => self.events.extend([forked, ready]),
            Behaviour::Works => self.events.extend([ready, forked]),
            Behaviour::Hangs => self.events.push_back(forked),
            Behaviour::Fails(status) => {
                let failed = Input::WorkerFailed {
                    ticket,
                    status,
                    reason: "SyntaxError".into(),
                };
                self.events.extend([forked, failed]);
                self.dies(pid, Ending::Exited(status));
            }
            Behaviour::Dies => {
                self.events.push_back(forked);
                self.dies(pid, KILLED);
            }
        }
    }

    fn dies(&mut self, pid: Pid, ending: Ending) {
        if self.alive.remove(&pid).is_some() {
            self.events.push_back(Input::Exited {
                pid,
                ending,
                work: " after 3 requests".into(),
            });
        }
    }

    /// Someone kills a process.
    fn kill(&mut self, pid: Pid) {
        self.dies(pid, KILLED);
        self.settle();
    }

    fn workers(&self) -> Vec<(u64, usize, Pid)> {
        let worker = |(pid, kind): (&Pid, &Kind)| match kind {
            Kind::Worker {
                generation, number, ..
            } => Some((*generation, *number, *pid)),
            Kind::Mold { .. } => None,
        };
        let mut workers: Vec<_> = self.alive.iter().filter_map(worker).collect();
        workers.sort_unstable();
        workers
    }

    /// Generations and numbers of the workers that are alive.
    fn staff(&self) -> Vec<(u64, usize)> {
        self.workers()
            .into_iter()
            .map(|(generation, number, _)| (generation, number))
            .collect()
    }

    fn mold(&self) -> Pid {
        let is_mold = |(pid, kind): (&Pid, &Kind)| matches!(kind, Kind::Mold { .. }).then_some(*pid);
        self.alive.iter().find_map(is_mold).expect("a mold")
    }

    fn logged(&self, text: &str) -> bool {
        self.log.iter().any(|(_, line)| line.contains(text))
    }
}

impl Supervisor {
    fn generation_that_waits_for(&self, ticket: Ticket) -> u64 {
        let waits = |generation: &&Generation| generation.seats.iter().any(|seat| seat.has_ticket(ticket));
        self.generations()
            .find(waits)
            .map_or(0, |generation| generation.id)
    }
}

#[test]
fn a_server_comes_up_with_all_its_workers() {
    let world = World::up(3);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3)]);
    assert_eq!(
        world.notices,
        [Notice::Ready("3 of 3 workers serve generation 1".into())]
    );
    assert_eq!(world.supervisor.next_deadline(), None);
}

#[test]
fn an_application_that_cannot_be_loaded_ends_the_start_with_its_status() {
    for status in [22, 3] {
        let mut world = World::new(2);
        world.mold = Behaviour::Fails(status);
        world.start();
        world.settle();
        assert_eq!(world.exit, Some((status, Some("SyntaxError".into()))));
        assert!(world.alive.is_empty());
    }
}

#[test]
fn an_application_that_cannot_be_loaded_by_its_worker_ends_the_start_too() {
    let mut world = World::new(2);
    world.worker = Behaviour::Fails(22);
    world.start();
    world.settle();
    assert_eq!(world.exit, Some((22, Some("worker 1: SyntaxError".into()))));
    assert!(world.alive.is_empty());
}

#[test]
fn a_mold_that_dies_while_it_loads_ends_the_start() {
    let mut world = World::new(2);
    world.mold = Behaviour::Dies;
    world.start();
    world.settle();
    let reason = "the process that loads the application was killed by SIGKILL".to_owned();
    assert_eq!(world.exit, Some((1, Some(reason))));
}

#[test]
fn workers_that_never_become_ready_end_the_start_after_some_attempts() {
    let mut world = World::new(1);
    world.worker = Behaviour::Dies;
    world.start();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.exit.as_ref().map(|exit| exit.0), Some(1));
    let forks = world
        .seen
        .iter()
        .filter(|output| matches!(output, Output::Fork { .. }))
        .count();
    assert_eq!(forks, BOOT_FAILURES as usize);
}

#[test]
fn a_reload_replaces_everyone_once_the_new_ones_are_ready() {
    let mut world = World::up(2);
    world.command(Command::Reload);
    assert_eq!(world.staff(), [(2, 1), (2, 2)]);
    let ready = Notice::Ready("2 of 2 workers serve generation 2".into());
    assert_eq!(world.notices[1..], [Notice::Reloading, ready]);
    assert!(world.seen.contains(&Output::Retired { generation: 1 }));
}

#[test]
fn nobody_is_told_to_leave_before_all_new_workers_are_ready() {
    let mut world = World::up(2);
    world.worker = Behaviour::Hangs;
    world.command(Command::Reload);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    let leaves = |output: &Output| matches!(output, Output::Leave { .. } | Output::DismissMold { .. });
    assert!(!world.seen.iter().any(leaves));
}

/// Breaks what a reload needs.
type Way = fn(&mut World);

#[test]
fn a_broken_reload_leaves_the_old_generation_alone() {
    let ways: [(&str, Way); 5] = [
        ("uwsgi.ini:3", |world| {
            world.reread = Err("uwsgi.ini:3: no".into());
        }),
        ("SyntaxError", |world| world.mold = Behaviour::Fails(22)),
        ("SyntaxError", |world| world.worker = Behaviour::Fails(22)),
        ("was killed by SIGKILL", |world| world.mold = Behaviour::Dies),
        ("was killed by SIGKILL before it was ready", |world| {
            world.worker = Behaviour::Dies;
        }),
    ];
    for (reason, break_it) in ways {
        let mut world = World::up(2);
        let before = world.workers();
        break_it(&mut world);
        world.command(Command::Reload);
        world.pass(Duration::from_secs(5));
        assert_eq!(world.workers(), before, "{reason}");
        assert!(
            world.logged("generation 1 goes on serving") && world.logged(reason),
            "{:?}",
            world.log
        );
        let Some(Notice::Ready(status)) = world.notices.last() else {
            panic!("the service manager waits: {:?}", world.notices);
        };
        assert!(
            status.starts_with("reload failed: ") && status.contains(reason),
            "{status}"
        );
        assert_eq!(world.exit, None);
    }
}

#[test]
fn after_a_broken_reload_a_good_one_works() {
    let mut world = World::up(2);
    world.mold = Behaviour::Fails(22);
    world.command(Command::Reload);
    world.mold = Behaviour::Works;
    world.command(Command::Reload);
    assert_eq!(world.staff(), [(3, 1), (3, 2)]);
}

#[test]
fn a_generation_that_never_gets_ready_is_given_up() {
    let mut world = World::up(1);
    world.mold = Behaviour::Hangs;
    world.command(Command::Reload);
    world.pass(RELOAD_LIMIT);
    assert_eq!(world.staff(), [(1, 1)]);
    assert!(world.logged("was not ready within 600 s"));
    let molds = world
        .alive
        .values()
        .filter(|kind| matches!(kind, Kind::Mold { .. }))
        .count();
    assert_eq!(molds, 1);
}

#[test]
fn many_reloads_during_one_are_followed_by_one() {
    let mut world = World::up(1);
    world.mold = Behaviour::Hangs;
    world.command(Command::Reload);
    world.command(Command::Reload);
    world.command(Command::Reload);
    world.command(Command::Reload);
    world.mold = Behaviour::Works;
    // The one that hangs.
    let hanging = *world.alive.keys().last().unwrap();
    world.kill(hanging);
    assert_eq!(world.staff(), [(3, 1)]);
    let rereads = world
        .seen
        .iter()
        .filter(|output| **output == Output::Reread)
        .count();
    assert_eq!(rereads, 2);
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_follows_it() {
    let mut world = World::new(1);
    world.start();
    world
        .supervisor
        .handle(Input::Command(Command::Reload), world.now);
    world.settle();
    assert_eq!(world.staff(), [(2, 1)]);
}

#[test]
fn a_dead_worker_is_replaced_at_once_and_the_log_tells_by_whom() {
    let mut world = World::up(2);
    let victim = world.workers()[1].2;
    world.kill(victim);
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
    let heir = world.workers()[1].2;
    let line =
        format!("worker 2 (pid {victim}) was killed by SIGKILL after 3 requests; replaced by pid {heir}");
    assert_eq!(world.log.last(), Some(&(Level::Error, line)));
}

#[test]
fn workers_that_keep_dying_are_replaced_more_and_more_slowly() {
    let mut world = World::up(1);
    world.worker = Behaviour::Dies;
    let victim = world.workers()[0].2;
    world.kill(victim);
    world.pass(Duration::from_secs(100));
    let forks = world
        .seen
        .iter()
        .filter(|output| matches!(output, Output::Fork { .. }))
        .count();
    assert!((20..40).contains(&forks), "{forks} forks in 100 s");
    assert!(world.logged("the next one starts in 0.1 s") && world.logged("the next one starts in 5 s"));
    assert_eq!(world.exit, None);
    world.worker = Behaviour::Works;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.staff(), [(1, 1)]);
}

#[test]
fn that_no_worker_can_be_forked_is_said_now_and_then_and_tried_until_it_works() {
    let mut world = World::up(1);
    world.can_fork = false;
    for _ in 0..4 {
        world.command(Command::MoreWorkers);
    }
    world.pass(Duration::from_secs(90));
    let said = |world: &World| {
        let lines = world
            .log
            .iter()
            .filter(|(_, text)| text.contains("cannot fork worker"));
        lines.count()
    };
    assert_eq!(said(&world), 2, "{:?}", world.log);
    world.can_fork = true;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.staff().len(), 5);
    assert_eq!(said(&world), 2);
}

#[test]
fn a_dead_mold_is_replaced_and_takes_no_worker_with_it() {
    let mut world = World::up(2);
    let before = world.workers();
    let mold = world.mold();
    world.kill(mold);
    assert_eq!(world.workers(), before);
    assert_ne!(world.mold(), mold);
    let victim = world.workers()[0].2;
    world.kill(victim);
    assert_eq!(world.staff(), [(1, 1), (1, 2)]);
}

#[test]
fn a_mold_that_cannot_be_replaced_is_tried_again_while_workers_go_on() {
    let mut world = World::up(1);
    world.mold = Behaviour::Fails(22);
    let mold = world.mold();
    world.kill(mold);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.staff(), [(1, 1)]);
    assert_eq!(world.exit, None);
    world.mold = Behaviour::Works;
    world.pass(Duration::from_secs(10));
    let victim = world.workers()[0].2;
    world.kill(victim);
    assert_eq!(world.staff(), [(1, 1)]);
}

#[test]
fn a_worker_that_is_born_after_its_mold_died_is_sent_away() {
    let mut world = World::up(1);
    let stranger = world.new_pid(Kind::Worker {
        generation: 1,
        number: 1,
        slot: 0,
    });
    world.supervisor.handle(
        Input::Forked {
            ticket: 999,
            pid: stranger,
        },
        world.now,
    );
    world.settle();
    assert!(!world.alive.contains_key(&stranger));
}

#[test]
fn a_stop_drains_and_a_second_one_makes_haste() {
    for command in [Command::Interrupt, Command::Terminate] {
        let mut world = World::up(2);
        world.stubborn = true;
        world.command(command);
        assert!(world.seen.iter().any(|output| matches!(
            output,
            Output::Leave {
                urge: Urge::Drain,
                ..
            }
        )));
        // Sent to the process and to its group: the same stop.
        world.command(command);
        assert!(!world.seen.iter().any(|output| matches!(
            output,
            Output::Leave {
                urge: Urge::Hurry,
                ..
            }
        )));
        world.pass(Duration::from_millis(200));
        assert_eq!(world.staff().len(), 2);
        world.command(command);
        let hurried = world.seen.iter().filter(|output| {
            matches!(
                output,
                Output::Leave {
                    urge: Urge::Hurry,
                    ..
                }
            )
        });
        assert_eq!(hurried.count(), 2);
        world.pass(HURRIED_MERCY);
        assert_eq!(world.exit, Some((0, None)));
    }
}

#[test]
fn a_stop_ends_when_the_last_has_left() {
    let mut world = World::up(2);
    world.command(Command::Terminate);
    assert_eq!(world.exit, Some((0, None)));
    assert!(world.alive.is_empty());
    assert_eq!(world.notices.last(), Some(&Notice::Stopping));
}

#[test]
fn who_does_not_leave_in_time_is_killed_and_the_log_told() {
    let mut world = World::up(1);
    world.stubborn = true;
    world.command(Command::Terminate);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.exit, None);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.exit, Some((0, None)));
    let overdue = world.seen.iter().find_map(|output| match output {
        Output::Overdue { what, mercy, .. } => Some((what.clone(), mercy.as_secs())),
        _ => None,
    });
    assert_eq!(overdue, Some(("worker 1".to_owned(), 60)));
}

#[test]
fn quit_makes_haste_at_once() {
    let mut world = World::up(2);
    world.command(Command::Quit);
    let hurried = world.seen.iter().filter(|output| {
        matches!(
            output,
            Output::Leave {
                urge: Urge::Hurry,
                ..
            }
        )
    });
    assert_eq!(hurried.count(), 2);
    assert_eq!(world.exit, Some((0, None)));
}

#[test]
fn a_stop_during_the_start_and_during_a_reload_leaves_nobody() {
    for behaviours in [
        (Behaviour::Hangs, Behaviour::Works),
        (Behaviour::Works, Behaviour::Hangs),
    ] {
        let mut world = World::new(2);
        (world.mold, world.worker) = behaviours;
        world.start();
        world.settle();
        world.command(Command::Terminate);
        assert_eq!(world.exit, Some((0, None)));
        let mut world = World::up(2);
        (world.mold, world.worker) = behaviours;
        world.command(Command::Reload);
        world.command(Command::Terminate);
        assert_eq!(world.exit, Some((0, None)));
        assert!(world.alive.is_empty());
    }
}

#[test]
fn without_die_on_term_term_reloads_brutally() {
    let mut world = World::new(1);
    world.settings.die_on_term = false;
    world.start();
    world.settle();
    world.command(Command::Terminate);
    assert_eq!(world.staff(), [(2, 1)]);
    assert!(world.seen.iter().any(|output| matches!(
        output,
        Output::Leave {
            urge: Urge::Hurry,
            ..
        }
    )));
    world.command(Command::Reload);
    assert!(world.seen.iter().any(|output| matches!(
        output,
        Output::Leave {
            urge: Urge::Drain,
            ..
        }
    )));
}

#[test]
fn workers_can_be_added_and_removed_but_one_stays() {
    let mut world = World::up(1);
    world.command(Command::MoreWorkers);
    world.command(Command::MoreWorkers);
    assert_eq!(world.staff(), [(1, 1), (1, 2), (1, 3)]);
    for _ in 0..5 {
        world.command(Command::FewerWorkers);
    }
    assert_eq!(world.staff(), [(1, 1)]);
    world.command(Command::Reload);
    assert_eq!(world.staff(), [(2, 1)]);
}

#[test]
fn who_is_sent_away_when_it_has_just_become_ready_may_finish_what_it_has() {
    // The wish to fork is on its way, or the worker is there; it says that it serves, or never.
    for (arrives, serves) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = World::up(1);
        (world.worker, world.stubborn) = (Behaviour::Hangs, true);
        world
            .supervisor
            .handle(Input::Command(Command::MoreWorkers), world.now);
        world.perform_outputs();
        if arrives {
            world.settle();
        }
        world.command(Command::FewerWorkers);
        let (ticket, (_, number, pid)) = (world.supervisor.tickets, world.workers()[1]);
        assert_eq!(number, 2);
        if serves {
            world
                .supervisor
                .handle(Input::WorkerReady { ticket, pid }, world.now);
        }
        world.pass(Duration::from_secs(2));
        assert_eq!(world.alive.contains_key(&pid), serves);
        world.pass(Duration::from_secs(58));
        assert!(!world.alive.contains_key(&pid));
        assert_eq!(world.supervisor.slots.taken(), 1);
    }
}

#[test]
fn no_more_workers_than_fit_twice() {
    let mut world = World::up(1);
    for _ in 0..100 {
        world.command(Command::MoreWorkers);
    }
    assert_eq!(world.staff().len(), 32);
    world.settings.workers = 1000;
    world.command(Command::Reload);
    assert_eq!(world.staff().len(), 32);
    assert!(world.logged("1000 workers do not fit"));
}

#[test]
fn pauses_go_on_until_the_next_one() {
    let mut world = World::up(1);
    world.command(Command::TogglePause);
    assert_eq!(
        world.seen.last(),
        Some(&Output::Notify(Notice::Status(
            "1 of 1 worker serve generation 1, paused".into()
        )))
    );
    world.command(Command::TogglePause);
    assert!(world.seen.contains(&Output::Pause(true)) && world.seen.contains(&Output::Pause(false)));
}

#[test]
fn a_re_execution_waits_until_nothing_is_under_way() {
    let mut world = World::up(1);
    world.worker = Behaviour::Hangs;
    world.command(Command::Reload);
    world.command(Command::Reexecute);
    assert!(!world.seen.contains(&Output::Preflight));
    let (_, _, pid) = world.workers()[1];
    let ticket = world.supervisor.tickets;
    world
        .supervisor
        .handle(Input::WorkerReady { ticket, pid }, world.now);
    world.settle();
    assert!(world.seen.contains(&Output::Preflight) && world.seen.contains(&Output::Reexecute));
}

#[test]
fn a_program_that_does_not_answer_does_not_become_the_master() {
    let mut world = World::up(1);
    world
        .supervisor
        .handle(Input::Command(Command::Reexecute), world.now);
    while let Some(output) = world.supervisor.take_output() {
        world.seen.push(output);
    }
    world.pass(PREFLIGHT_LIMIT);
    assert!(world.seen.contains(&Output::AbandonPreflight));
    assert!(world.logged("not re-executed: "));
    world.command(Command::Reexecute);
    assert!(
        world.seen.contains(&Output::Reexecute),
        "another attempt may go well"
    );
}

#[test]
fn what_was_handed_over_goes_on_and_is_replaced_like_any_other() {
    let mut before = World::up(3);
    before.command(Command::Reload);
    before.command(Command::TogglePause);
    before.command(Command::Reexecute);
    let handover = before.supervisor.handover().unwrap();
    assert_eq!(handover.workers.len(), 3);

    let mut after = World::new(2);
    (after.alive, after.last_pid) = (before.alive, before.last_pid);
    after.supervisor.adopt(&handover, after.now);
    after.start();
    after.settle();
    assert_eq!(after.staff(), [(3, 1), (3, 2)]);
    assert_eq!(after.notices.first(), Some(&Notice::Reloading));
    assert_eq!(after.supervisor.slots.taken(), 2);
}

#[test]
fn a_re_executed_master_whose_new_generation_is_broken_keeps_the_old_one() {
    let before = World::up(2);
    let handover = before.supervisor.handover().unwrap();
    let mut after = World::new(2);
    (after.alive, after.last_pid) = (before.alive, before.last_pid);
    after.mold = Behaviour::Fails(22);
    after.supervisor.adopt(&handover, after.now);
    after.start();
    after.settle();
    assert_eq!(after.staff(), [(1, 1), (1, 2)]);
    let victim = after.workers()[0].2;
    after.kill(victim);
    assert_eq!(after.staff(), [(1, 1), (1, 2)], "the old mold still forks");
}

/// Small and repeatable: xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// What must hold at any time.
fn check(world: &World) {
    let supervisor = &world.supervisor;
    let mut slots: Vec<SlotIndex> = supervisor.workers().filter_map(|worker| worker.slot).collect();
    let count = slots.len();
    slots.sort_unstable();
    slots.dedup();
    assert_eq!(slots.len(), count, "two workers in one slot");
    if let Some(current) = &supervisor.current {
        let wanted = current.settings.workers;
        assert!(!current.seats.is_empty(), "{wanted} wanted");
    }
    if let Some(due) = supervisor.next_deadline() {
        assert!(due > world.now, "the master would spin");
    }
}

fn random_behaviour(chance: &mut Chance) -> Behaviour {
    match chance.below(8) {
        0 => Behaviour::Fails(22),
        1 => Behaviour::Dies,
        2 => Behaviour::Hangs,
        _ => Behaviour::Works,
    }
}

fn random_command(chance: &mut Chance) -> Command {
    let commands = [
        Command::Reload,
        Command::Reload,
        Command::ChainReload,
        Command::ChainReload,
        Command::RenewWorkers,
        Command::Terminate,
        Command::Report,
        Command::Reexecute,
        Command::MoreWorkers,
        Command::FewerWorkers,
        Command::GoCheap,
        Command::TogglePause,
    ];
    commands[chance.below(commands.len())]
}

#[test]
fn whatever_happens_a_server_that_served_goes_on_serving_and_ends_when_told_to() {
    for seed in 1..=400u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut world = World::new(2 + chance.below(3));
        world.settings.die_on_term = false;
        world.settings.scaling = scaling::random(&mut chance);
        world.start();
        world.settle();
        world.command(Command::Reload);
        for round in 0..200 {
            match chance.below(9) {
                0 => {
                    let command = random_command(&mut chance);
                    world.supervisor.handle(Input::Command(command), world.now);
                }
                1 if !world.alive.is_empty() => {
                    let index = chance.below(world.alive.len());
                    let victim = *world.alive.keys().nth(index).unwrap();
                    world.dies(victim, KILLED);
                }
                2 => {
                    world.mold = random_behaviour(&mut chance);
                    world.worker = random_behaviour(&mut chance);
                    world.stubborn = chance.one_in(4);
                    world.reread = if chance.one_in(5) {
                        Err("no".into())
                    } else {
                        Ok(())
                    };
                }
                3 if chance.one_in(3) && !world.alive.is_empty() => {
                    let index = chance.below(world.alive.len());
                    let pid = *world.alive.keys().nth(index).unwrap();
                    let reason = "is worn".to_owned();
                    let grace = Duration::from_secs(10);
                    let input = match chance.below(4) {
                        0 => Input::Deadly { pid, reason },
                        1 => Input::Stuck { pid, grace },
                        _ => Input::Worn { pid, reason },
                    };
                    world.supervisor.handle(input, world.now);
                }
                3 => world.now += Duration::from_millis(chance.below(3000) as u64),
                4 => world.supervisor.handle(Input::ReloadFor(round), world.now),
                5 => {
                    let measured = scaling::measure(&mut chance);
                    world.supervisor.handle(Input::Measured(measured), world.now);
                }
                6 => world.supervisor.handle(Input::Knock, world.now),
                _ => {}
            }
            world.perform_outputs();
            // Some of what is under way arrives, in order.
            for _ in 0..chance.below(4) {
                let Some(event) = world.events.pop_front() else {
                    break;
                };
                world.supervisor.handle(event, world.now);
                world.perform_outputs();
                check(&world);
            }
            world.supervisor.handle(Input::Tick, world.now);
            world.perform_outputs();
            check(&world);
            assert_eq!(world.exit, None, "seed {seed}: nobody asked it to end");
        }
        // Once everything works again, everyone wanted is there, and nobody else.
        (world.mold, world.worker, world.stubborn, world.reread) =
            (Behaviour::Works, Behaviour::Works, false, Ok(()));
        world.settle();
        world.pass(RELOAD_LIMIT + Duration::from_secs(700));
        let wanted = world.supervisor.current.as_ref().unwrap().open_seats();
        assert!(world.supervisor.asked.is_empty() && world.supervisor.awaited.is_empty());
        let mut answered: Vec<ClientId> = world.answers.iter().map(|(client, _)| *client).collect();
        answered.sort_unstable();
        assert!(
            answered.is_sorted_by(|one, other| one < other),
            "seed {seed}: answered twice"
        );
        assert_eq!(world.staff().len(), wanted, "seed {seed}: {:?}", world.supervisor);
        assert_eq!(world.supervisor.slots.taken(), wanted, "seed {seed}");
        assert_eq!(world.alive.len(), wanted + 1, "seed {seed}: workers and a mold");
        world.command(Command::Interrupt);
        world.pass(Duration::from_secs(120));
        assert_eq!(world.exit, Some((0, None)), "seed {seed}: {:?}", world.supervisor);
        assert!(world.alive.is_empty(), "seed {seed}");
        assert_eq!(world.supervisor.slots.taken(), 0, "seed {seed}");
    }
}
