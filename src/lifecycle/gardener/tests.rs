//! Times on both sides of their boundaries, and what must not be asked for.

use chrono::{DateTime, Duration, Utc};

use super::{
    Push, REMEMBERED, Step,
    ladder::{Climb, Expected, What},
    names,
};

const BOTH: &[Step] = &[Step::Touch, Step::Renew];
const MILLISECOND: Duration = Duration::milliseconds(1);

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).expect("a time")
}

fn push(step: Step) -> Climb {
    Climb { push: Some(step), ..Climb::default() }
}

fn wait(until: DateTime<Utc>) -> Climb {
    Climb { wake_at: Some(until), ..Climb::default() }
}

/// Makes every step as it falls due, for so long; gives each with the time since the beginning.
fn played(expected: Expected, allowed: &[Step], length: Duration) -> Vec<(Step, Duration)> {
    let (mut pushes, mut now, mut made) = (Vec::new(), start(), Vec::new());
    while now <= start() + length {
        let climb = expected.climb(&pushes, allowed, now);
        match (climb.push, climb.wake_at) {
            (Some(step), _) => {
                assert!(made.last() != Some(&(step, now - start())), "one step a time");
                pushes.push(Push { step, at: now });
                pushes.drain(..pushes.len().saturating_sub(REMEMBERED));
                made.push((step, now - start()));
            }
            (None, Some(at)) => {
                assert!(at > now, "it never wakes for nothing");
                now = at;
            }
            (None, None) => break,
        }
    }
    made
}

#[test]
fn a_late_renewal_is_touched_after_a_quarter_of_the_time_that_is_left_then_renewed_then_a_persons() {
    let (due, end) = (start(), start() + Duration::seconds(60));
    let expected = Expected::renewal(due, end);
    let touch = due + Duration::seconds(15);
    assert_eq!(expected.climb(&[], BOTH, touch - MILLISECOND), wait(touch));
    assert_eq!(expected.climb(&[], BOTH, touch), push(Step::Touch));
    let touched = [Push { step: Step::Touch, at: touch }];
    let renew = touch + Duration::seconds(15);
    assert_eq!(expected.climb(&touched, BOTH, renew - MILLISECOND), wait(renew));
    assert_eq!(expected.climb(&touched, BOTH, renew), push(Step::Renew));
    let both = [touched[0], Push { step: Step::Renew, at: renew }];
    let over = renew + Duration::seconds(15);
    assert_eq!(expected.climb(&both, BOTH, over - MILLISECOND), wait(over));
    let ended = expected.climb(&both, BOTH, over);
    assert!(ended.exhausted && ended.push.is_none(), "{ended:?}");
    assert_eq!(ended.wake_at, Some(touch + Duration::seconds(180)));
}

#[test]
fn a_step_has_five_seconds_at_least_and_half_an_hour_at_most() {
    for (left, patience) in [(1, 5), (20, 5), (24, 6), (4 * 1800, 1800), (30 * 86_400, 1800)] {
        let expected = Expected::renewal(start(), start() + Duration::seconds(left));
        let first = start() + Duration::seconds(patience);
        assert_eq!(expected.climb(&[], BOTH, first - MILLISECOND), wait(first), "{left}");
        assert_eq!(expected.climb(&[], BOTH, first), push(Step::Touch), "{left}");
    }
}

#[test]
fn pushes_of_an_earlier_renewal_do_not_count() {
    let expected = Expected::renewal(start(), start() + Duration::seconds(60));
    let earlier = BOTH.iter().map(|step| Push { step: *step, at: start() - MILLISECOND }).collect::<Vec<_>>();
    assert_eq!(expected.climb(&earlier, BOTH, start() + Duration::seconds(15)), push(Step::Touch));
}

#[test]
fn each_step_is_made_once_a_period_however_long_it_lasts() {
    let day = Duration::days(1);
    let month = Expected::renewal(start(), start() + Duration::days(30));
    for (expected, period) in [
        (month, Duration::hours(6)),
        (Expected::issuance(start()), Duration::hours(2)),
        (Expected::vanished(start()), Duration::minutes(30)),
    ] {
        let made = played(expected, BOTH, day);
        for step in BOTH {
            let times: Vec<Duration> = made.iter().filter(|(one, _)| one == step).map(|(_, at)| *at).collect();
            assert!(times.windows(2).all(|two| two[1] - two[0] >= period), "{:?} {step}: {times:?}", expected.what);
            let most = day.num_seconds() / period.num_seconds();
            let least = usize::try_from(most - 1).expect("a number");
            assert!((least..=least + 2).contains(&times.len()), "{:?} {step}: {times:?}", expected.what);
        }
    }
}

#[test]
fn what_vanished_is_touched_after_three_seconds_and_what_was_never_issued_after_ten_minutes() {
    for (expected, patience) in
        [(Expected::vanished(start()), Duration::seconds(3)), (Expected::issuance(start()), Duration::minutes(10))]
    {
        assert_eq!(expected.climb(&[], BOTH, start() + patience - MILLISECOND), wait(start() + patience));
        assert_eq!(expected.climb(&[], BOTH, start() + patience), push(Step::Touch));
    }
}

#[test]
fn somebody_elses_certificate_is_touched_at_most_and_without_a_grant_only_told_of() {
    let expected = Expected::renewal(start(), start() + Duration::seconds(60));
    let made = played(expected, &[Step::Touch], Duration::hours(1));
    assert!(made.len() > 1 && made.iter().all(|(step, _)| *step == Step::Touch), "{made:?}");
    assert_eq!(played(expected, &[], Duration::hours(1)), []);
    let late = expected.climb(&[], &[], start() + Duration::seconds(15));
    assert_eq!((late.exhausted, late.push, expected.what), (true, None, What::Renewal));
    assert!(!expected.climb(&[], &[], start() + Duration::seconds(15) - MILLISECOND).exhausted);
}

#[test]
fn pushes_are_read_as_they_were_written_and_nonsense_is_left_out() {
    let pushes = [Push { step: Step::Touch, at: start() }, Push { step: Step::Renew, at: start() + Duration::days(1) }];
    assert_eq!(Push::parse(&Push::format(&pushes)), pushes);
    assert_eq!(Push::parse("reconcile@never,dance@2026-01-01T00:00:00Z,,renew"), []);
    let many = vec!["renew@2026-01-01T00:00:00Z"; 1000].join(",");
    assert_eq!(Push::parse(&many).len(), 2 * REMEMBERED);
}

#[test]
fn wildcard_and_apex_are_one_request() {
    assert_eq!(names("example.com", true), ["*.example.com", "example.com"]);
    assert_eq!(names("example.com", false), ["*.example.com"]);
}
