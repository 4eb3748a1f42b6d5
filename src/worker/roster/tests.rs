//! Who does what, without a thread.

use super::*;

const QUICK: Duration = Duration::from_micros(5);
const LONG: Duration = Duration::from_millis(10);

/// Threads 1, 2, … stand by, in that order; thread 0 waits for events.
fn roster(threads: usize, start: Instant) -> Roster {
    let mut roster = Roster::new(threads, threads, start);
    (1..threads).for_each(|thread| {
        roster.stand_by(thread);
    });
    roster.begin_wait(0, None, start);
    roster
}

fn make_slow(roster: &mut Roster, start: Instant) {
    for _ in 0..8 {
        roster.begin_work(0, false);
        roster.end_work(start, start + LONG);
    }
}

#[test]
fn quick_work_stays_with_the_leader_and_a_watcher_is_called_once() {
    let start = Instant::now();
    let mut roster = roster(3, start);
    // Nobody watches: all has been quiet.
    roster.step_forward(1);
    roster.stand_by(1);
    roster.watcher = None;
    roster.end_wait(0, start);
    assert_eq!(roster.role(0, true, start), Role::Lead);
    assert_eq!(roster.begin_work(0, true), Some((1, Call::Watch)));
    roster.end_work(start, start + QUICK);
    assert_eq!(roster.role(0, true, start), Role::Lead);
    assert_eq!(roster.begin_work(0, true), None);
    // Who is not the leader leaves it alone meanwhile.
    assert_eq!(roster.role(2, true, start), Role::StandBy);
}

#[test]
fn an_overdue_loop_is_taken_over_and_its_old_leader_stands_by() {
    let start = Instant::now();
    let mut roster = roster(2, start);
    roster.end_wait(0, start);
    roster.begin_work(0, true);
    let later = start + OVERDUE;
    let beacon = roster.beacon();
    assert!(!beacon.is_overdue(beacon.look(), start));
    assert!(beacon.is_overdue(beacon.look(), later));
    roster.step_forward(1);
    assert_eq!(roster.role(1, true, later), Role::Lead);
    roster.attended(1, later);
    roster.begin_work(1, false);
    roster.end_work(start, start + QUICK);
    assert_eq!(roster.role(1, false, later), Role::Lead);
    roster.begin_wait(1, None, later);
    assert!(!beacon.is_overdue(beacon.look(), later + LONG));
    roster.end_work(start, start + LONG);
    assert_eq!(roster.role(0, false, later), Role::StandBy);
    // A request behind its answer is its own to run.
    assert_eq!(roster.role(0, true, later), Role::Help);
}

#[test]
fn before_slow_work_another_is_called_as_long_as_there_is_one() {
    let start = Instant::now();
    let mut roster = roster(3, start);
    roster.end_wait(0, start);
    make_slow(&mut roster, start);
    for thread in [1, 2] {
        roster.stand_by(thread);
    }
    roster.standing.dedup();
    assert_eq!(roster.begin_work(0, true), Some((2, Call::Act)));
    assert_eq!(roster.role(2, true, start), Role::Lead);
    assert_eq!(roster.begin_work(2, true), Some((1, Call::Act)));
    assert_eq!(roster.begin_work(1, true), None);
    assert_eq!(roster.busy(), 3);
    // Whoever comes back first goes on.
    roster.end_work(start, start + LONG);
    assert_eq!(roster.role(2, true, start), Role::Lead);
}

#[test]
fn slow_work_calls_no_one_while_the_loop_is_attended_and_nothing_is_left() {
    let start = Instant::now();
    let mut roster = roster(2, start);
    make_slow(&mut roster, start);
    assert!(roster.is_polling());
    assert_eq!(roster.begin_work(2, false), None);
    roster.end_work(start, start + LONG);
    assert_eq!(roster.begin_work(2, true), Some((1, Call::Act)));
}

#[test]
fn the_minder_dozes_while_threads_come_back_one_after_the_other() {
    let start = Instant::now();
    let mut roster = Roster::new(2, 2, start);
    make_slow(&mut roster, start);
    let mut now = start;
    for thread in [0, 1].into_iter().cycle().take(16) {
        roster.begin_work(thread, true);
        now += BRISK / 2;
        roster.end_work(start, now);
    }
    roster.begin_work(0, true);
    roster.begin_work(1, true);
    assert!(roster.wants_minder(now) && roster.may_doze(now));
    roster.begin_dozing();
    assert!(roster.is_minded() && !roster.is_awaited());
    // Who comes back looks for events, and leaves the loop to the minder where it has found some.
    let later = now + BRISK / 2;
    roster.end_work(start, later);
    assert!(roster.is_stale(later));
    assert!(roster.leaves_minder(true) && !roster.leaves_minder(false));
    roster.begin_work(0, true);
    // When nobody has come back for long, it waits for events itself.
    assert!(roster.wants_minder(later + DOZE) && !roster.may_doze(later + DOZE));
    roster.begin_minding(later + DOZE);
    assert!(roster.is_awaited() && !roster.is_stale(later + 2 * DOZE));
    roster.end_minding();
    assert!(!roster.is_minded());
}

#[test]
fn the_minder_does_not_doze_where_applications_are_quick_and_one_is_not() {
    let start = Instant::now();
    let mut roster = Roster::new(1, 1, start);
    let mut now = start;
    for _ in 0..32 {
        roster.begin_work(0, true);
        now += QUICK;
        roster.end_work(now - QUICK, now);
    }
    roster.begin_work(0, true);
    now += OVERDUE;
    assert!(roster.wants_minder(now) && !roster.may_doze(now));
}

#[test]
fn who_waits_is_to_know_of_what_has_become_due_before_it_would_look_again() {
    let start = Instant::now();
    let mut roster = Roster::new(1, 1, start);
    assert!(!roster.waits_beyond(Some(QUICK), start), "nobody waits");
    roster.begin_wait(0, None, start);
    assert!(roster.waits_beyond(Some(LONG), start));
    assert!(!roster.waits_beyond(None, start));
    roster.begin_wait(0, Some(LONG), start);
    assert!(roster.waits_beyond(Some(QUICK), start));
    assert!(!roster.waits_beyond(Some(LONG), start));
    roster.end_wait(0, start);
    assert!(!roster.waits_beyond(Some(QUICK), start));
}

#[test]
fn a_slow_application_among_quick_ones_makes_no_difference_and_several_are_soon_forgotten() {
    let mut pace = Pace::default();
    pace.note(Duration::from_secs(60));
    assert!(!pace.is_slow());
    pace.note(Duration::from_secs(60));
    assert!(pace.is_slow());
    let quick = (0..)
        .take_while(|_| {
            pace.note(QUICK);
            pace.is_slow()
        })
        .count();
    assert!(quick < 8, "{quick}");
}

#[test]
fn a_watcher_rests_only_when_nothing_has_gone_on_and_the_loop_is_attended() {
    let start = Instant::now();
    let mut roster = roster(2, start);
    let sight = roster.beacon().look();
    assert_eq!(roster.watcher, Some(1));
    roster.end_wait(0, start + QUICK);
    assert!(!roster.stop_watching(1, roster.beacon().look()));
    roster.begin_wait(0, None, start + QUICK);
    assert!(!roster.stop_watching(1, sight));
    assert!(roster.stop_watching(1, roster.beacon().look()));
    assert_eq!(roster.watcher, None);
}

/// Four threads may be at work beside each other in `places`; those below that stand by, in that order.
fn with_spares(places: usize, start: Instant) -> Roster {
    let mut roster = Roster::new(places, 4, start);
    (0..places).for_each(|thread| {
        roster.stand_by(thread);
    });
    roster
}

#[test]
fn who_streams_serves_no_one_else_and_the_next_serves_in_its_stead() {
    let mut roster = with_spares(2, Instant::now());
    assert!(roster.is_plain());
    assert_eq!(
        [0, 1, 2, 3].map(|thread| roster.serves(thread)),
        [true, true, false, false]
    );
    roster.set_attached(&[0]);
    assert!(!roster.is_plain());
    assert_eq!(
        [0, 1, 2, 3].map(|thread| roster.serves(thread)),
        [false, true, true, false]
    );
    assert_eq!(roster.first_to_serve(), Some(1));
    roster.set_attached(&[2, 0, 1]);
    assert_eq!(
        [0, 1, 2, 3].map(|thread| roster.serves(thread)),
        [false, false, false, true]
    );
    assert_eq!(roster.call(), None, "none of those who stand by serves");
    assert_eq!(roster.call_anyone(), Some(1), "somebody is to have the loop");
    roster.set_attached(&[]);
    assert_eq!(
        [0, 1, 2, 3].map(|thread| roster.serves(thread)),
        [true, true, false, false]
    );
}

#[test]
fn a_place_is_kept_for_who_is_called_to_work_that_waits() {
    let start = Instant::now();
    let mut roster = with_spares(1, start);
    roster.set_attached(&[0]);
    assert!(roster.has_place(1));
    assert!(roster.expect(0), "it stands by");
    assert!(!roster.expect(0), "it has been called");
    assert!(!roster.has_place(1) && roster.has_place(0));
    // The loop would be nobody's.
    roster.end_wait(0, start);
    assert!(roster.wants_minder(start + OVERDUE));
    assert!(roster.stop_expecting(0));
    assert!(!roster.stop_expecting(0));
    assert!(roster.has_place(1));
    roster.begin_work(0, false);
    assert!(!roster.has_place(1));
}

#[test]
fn one_thread_is_made_at_a_time_as_long_as_there_are_too_few_that_serve() {
    let mut roster = with_spares(2, Instant::now());
    assert_eq!(roster.recruit(), None, "there are two for two places");
    roster.set_attached(&[0, 1]);
    assert_eq!(roster.recruit(), Some(2));
    assert!(
        !roster.has_place(3) || roster.stop_expecting(2),
        "the recruit has its place"
    );
    assert_eq!(roster.recruit(), None, "one is on the way");
    assert_eq!(roster.end_recruiting(true), None);
    assert_eq!(roster.recruit(), Some(3));
    assert_eq!(roster.end_recruiting(false), Some(3));
    assert_eq!(roster.recruit(), None, "there is no other to be had");
}

#[test]
fn spare_threads_leave_in_the_order_of_their_numbers_and_only_where_all_is_quiet() {
    let start = Instant::now();
    let mut roster = with_spares(1, start);
    roster.set_attached(&[0]);
    assert_eq!(roster.recruit(), Some(1));
    roster.end_recruiting(true);
    roster.stop_expecting(1);
    roster.set_attached(&[0, 1]);
    assert_eq!(roster.recruit(), Some(2));
    roster.end_recruiting(true);
    roster.stop_expecting(2);
    assert!(!roster.dismiss(2), "it serves");
    roster.set_attached(&[]);
    assert!(!roster.dismiss(0) && !roster.dismiss(1), "not the last");
    roster.begin_work(0, false);
    assert!(!roster.dismiss(2), "someone may call it");
    roster.end_work(start, start);
    assert!(roster.dismiss(2) && roster.dismiss(1));
    assert!(!roster.dismiss(0), "it is no spare one");
}

#[test]
fn who_finds_no_place_does_not_watch() {
    let start = Instant::now();
    let mut roster = with_spares(1, start);
    roster.stand_by(4);
    roster.set_attached(&[0]);
    assert_eq!(roster.recruit(), Some(1));
    roster.end_recruiting(true);
    roster.stop_expecting(1);
    roster.watcher = None;
    // All places are taken: that is for the minder.
    assert_eq!(roster.begin_work(1, false), Some((4, Call::Watch)));
    roster.watcher = None;
    assert!(!roster.stand_by(0));
    roster.end_work(start, start);
    // Nor is anyone called who would find none.
    make_slow(&mut roster, start);
    roster.stand_by(1);
    roster.watcher = Some(4);
    assert_eq!(roster.first_to_serve(), Some(1));
    assert_eq!(roster.begin_work(0, true), None);
}

#[test]
fn who_watches_when_the_last_place_is_taken_is_relieved_by_the_minder() {
    let start = Instant::now();
    let mut roster = with_spares(2, start);
    roster.stand_by(4);
    roster.set_attached(&[0]);
    assert_eq!(roster.recruit(), Some(2));
    roster.end_recruiting(true);
    roster.stop_expecting(2);
    roster.step_forward(0);
    roster.watcher = Some(1);
    assert_eq!(roster.begin_work(0, false), None, "it has a place itself");
    assert_eq!(roster.begin_work(2, false), Some((4, Call::Watch)));
    assert!(roster.is_nobodys());
    assert_eq!(roster.leave_to_minder(), None, "it watches");
    roster.begin_minding(start);
    assert!(!roster.is_nobodys());
}
