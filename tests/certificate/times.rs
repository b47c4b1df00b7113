use certkeeper::certificate::{Context, Supplied, judge, next_change, read};
use chrono::{DateTime, Duration, TimeZone as _, Utc};

use crate::support::{GOOD, authority, date, intermediate, issue, leaf, message, now, told, verdict_in};

fn told_at(time: DateTime<Utc>) -> Vec<String> {
    told(&verdict_in(&GOOD.chain(), &GOOD.leaf.key, &Context::new(time)))
}

/// The good leaf's validity and the day from which it expires soon.
fn ends() -> (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>) {
    let begin = Utc.with_ymd_and_hms(2027, 5, 1, 0, 0, 0).unwrap();
    let end = Utc.with_ymd_and_hms(2027, 7, 30, 0, 0, 0).unwrap();
    (begin, end - Duration::days(21), end)
}

#[test]
fn both_ends_of_a_validity_belong_to_it() {
    let (begin, soon, end) = ends();
    let tick = Duration::milliseconds(1);
    let second = Duration::seconds(1);
    for (time, expected) in [
        (begin - tick, "error not-yet-valid"),
        (begin, ""),
        (soon - tick, ""),
        (soon, "warning expires-soon"),
        (end - tick, "warning expires-soon"),
        (end, "warning expires-soon"),
        (end + second - tick, "warning expires-soon"),
        (end + second, "error expired"),
    ] {
        assert_eq!(told_at(time).join(","), expected, "at {time:?}");
    }
}

#[test]
fn an_expired_pair_is_worse_but_not_unusable_and_says_since_when() {
    let (_, _, end) = ends();
    let verdict = verdict_in(&GOOD.chain(), &GOOD.leaf.key, &Context::new(end + Duration::days(3)));
    assert!(!verdict.is_good() && !verdict.is_unusable());
    let message = message(&verdict, "expired");
    assert!(message.contains("2027-07-30T00:00:00Z"), "{message}");
    assert!(message.starts_with("certificate 1 of 2, CN=*.example.com"), "{message}");
}

#[test]
fn an_expired_or_early_intermediate_is_named() {
    for (before, after, check) in [
        ((2020, 1, 1), (2027, 5, 31), "expired"),
        ((2027, 6, 2), (2040, 1, 1), "not-yet-valid"),
        ((2020, 1, 1), (2027, 6, 10), "expires-soon"),
    ] {
        let mut params = authority("Old intermediate");
        params.not_before = rcgen::date_time_ymd(before.0, before.1, before.2);
        params.not_after = rcgen::date_time_ymd(after.0, after.1, after.2);
        let intermediate = intermediate(params, &GOOD.root);
        let made = issue(&leaf(&["*.example.com"]), &intermediate);
        let verdict = verdict_in(&format!("{}{}", made.pem, intermediate.pem()), &made.key, &Context::new(now()));
        assert_eq!(verdict.findings.len(), 1, "{:?}", told(&verdict));
        assert!(message(&verdict, check).starts_with("certificate 2 of 2, CN=Old intermediate"), "{check}");
    }
}

#[test]
fn a_leaf_may_live_as_long_as_public_cas_may_issue_at_its_date() {
    let day = |y, m, d| Utc.with_ymd_and_hms(y, m, d, 0, 0, 0).unwrap();
    for (begin, days, long) in [
        (day(2026, 3, 14), 398, false),
        (day(2026, 3, 14), 399, true),
        (day(2026, 3, 15), 200, false),
        (day(2026, 3, 15), 201, true),
        (day(2027, 3, 14), 200, false),
        (day(2027, 3, 15), 100, false),
        (day(2027, 3, 15), 101, true),
        (day(2029, 3, 15), 47, false),
        (day(2029, 3, 15), 48, true),
    ] {
        let mut params = leaf(&["*.example.com"]);
        params.not_before = date(begin);
        params.not_after = date(begin + Duration::days(days) - Duration::seconds(1));
        let made = issue(&params, &GOOD.intermediate);
        let chain = format!("{}{}", made.pem, GOOD.intermediate.pem());
        let verdict = verdict_in(&chain, &made.key, &Context::new(begin + Duration::days(1)));
        assert_eq!(told(&verdict).contains(&"warning lifetime".to_owned()), long, "{days} days from {begin}");
        assert!(verdict.is_good());
    }
}

#[test]
fn the_next_change_is_the_next_instant_at_which_the_answer_differs() {
    let (begin, soon, end) = ends();
    let chain = GOOD.chain();
    let facts =
        read(&Supplied { certificate: Some(chain.as_bytes()), key: Some(GOOD.leaf.key.as_bytes()), staple: None });
    let mut time = begin - Duration::days(1);
    let mut seen = Vec::new();
    while let Some(next) = next_change(&facts, &Context::new(time)) {
        assert!(next > time);
        seen.push(next);
        time = next;
    }
    let far = Utc.with_ymd_and_hms(2040, 1, 1, 0, 0, 0).unwrap();
    let second = Duration::seconds(1);
    assert_eq!(seen, [begin, soon, end + second, far - Duration::days(21), far + second]);
    // Between two changes nothing changes, and at each of the leaf's something does.
    for change in &seen[..3] {
        let verdict = |time| told(&judge(&facts, &Context::new(time)));
        assert_ne!(verdict(*change - Duration::milliseconds(1)), verdict(*change), "at {change}");
    }
}

#[test]
fn the_notice_of_an_end_can_be_set() {
    let (_, _, end) = ends();
    let context = Context { expires_soon: Duration::days(1), ..Context::new(end - Duration::days(2)) };
    assert_eq!(told(&verdict_in(&GOOD.chain(), &GOOD.leaf.key, &context)), Vec::<String>::new());
}
