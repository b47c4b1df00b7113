use super::*;
use crate::lifecycle::serving::{Answer, GatewaySight, ServedLeaf};

const NEW: &str = "new";
const DEADLINE: Duration = Duration::seconds(30);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

fn leaf(fingerprint: &str) -> Option<Answer> {
    Some(Answer::Leaf(ServedLeaf { fingerprint: fingerprint.to_owned(), serial: "01".to_owned(), not_after: None }))
}

fn failed(answered_before: bool) -> Option<Answer> {
    Some(Answer::Failed { reason: "Reset".to_owned(), message: "reset".to_owned(), answered_before })
}

fn pod(name: &str, answer: Option<Answer>) -> PodSight {
    PodSight {
        name: ObjectName::new("istio-system", name),
        uid: format!("uid-{name}"),
        created: at(-3600),
        state: PodState::Ready,
        files: false,
        answers: vec![answer],
    }
}

fn mesh(pods: Vec<PodSight>) -> Mesh {
    let name = ObjectName::new("kyma-system", "kyma-gateway");
    Mesh::Known(vec![GatewaySight {
        name,
        generation: 1,
        pods,
        unasked: Vec::new(),
        missing: false,
        policy: None,
        rivals: Vec::new(),
    }])
}

fn three(answers: [&str; 3]) -> Mesh {
    mesh(["a", "b", "c"].iter().zip(answers).map(|(name, of)| pod(name, leaf(of))).collect())
}

fn allowed(up_to: Rung, nudges: &[Nudge]) -> Allowance<'_> {
    Allowance { up_to, deadline: DEADLINE, may_write: true, nudges }
}

/// A ladder climbed over time: each call is a round, what it remembers goes into the next.
struct Ladder {
    up_to: Rung,
    record: Option<Record>,
    nudges: Vec<Nudge>,
}

impl Ladder {
    fn new(up_to: Rung) -> Self {
        Self { up_to, record: None, nudges: Vec::new() }
    }

    /// With the next one, where that follows at once.
    fn round(&mut self, mesh: &Mesh, second: i64) -> Step {
        let climb = self.single_round(mesh, second);
        match climb.wake_at == Some(at(second + 1)) {
            true => self.single_round(mesh, second).step,
            false => climb.step,
        }
    }

    fn single_round(&mut self, mesh: &Mesh, second: i64) -> Climb {
        let climb = climb(NEW, mesh, self.record.as_ref(), &allowed(self.up_to, &self.nudges), at(second));
        if climb.step == Step::Nudge {
            self.nudges.push(Nudge { fingerprint: NEW.to_owned(), at: at(second) });
        }
        self.record.clone_from(&climb.record);
        climb
    }

    fn evicted(&self) -> Option<usize> {
        self.record.as_ref().map(|record| record.evicted)
    }
}

fn evicts(step: &Step) -> Option<&str> {
    match step {
        Step::Evict(eviction) => Some(&eviction.pod.name),
        _ => None,
    }
}

#[test]
fn istios_own_push_has_its_deadline_and_then_comes_one_nudge() {
    let stale = three(["old", "old", "old"]);
    let mut ladder = Ladder::new(Rung::Nudge);
    assert_eq!(ladder.round(&stale, 0), Step::Wait);
    assert_eq!(ladder.round(&stale, 29), Step::Wait);
    assert_eq!(ladder.round(&stale, 30), Step::Nudge);
    assert_eq!(ladder.round(&stale, 59), Step::Wait);
    assert!(matches!(ladder.round(&stale, 60), Step::Refused(_)), "no pod serves it though it was nudged");
    assert_eq!(ladder.nudges.len(), 1);
}

#[test]
fn once_all_serve_it_nothing_is_remembered_of_the_first_rung() {
    let mut ladder = Ladder::new(Rung::Restart);
    assert_eq!(ladder.round(&three(["old", NEW, NEW]), 0), Step::Wait);
    assert!(ladder.record.is_some());
    assert_eq!(ladder.round(&three([NEW, NEW, NEW]), 1), Step::Wait);
    assert_eq!(ladder.record, None);
    // What goes wrong later has a deadline of its own.
    assert_eq!(ladder.round(&three(["old", NEW, NEW]), 1000), Step::Wait);
    assert_eq!(ladder.round(&three(["old", NEW, NEW]), 1029), Step::Wait);
    assert_eq!(ladder.round(&three(["old", NEW, NEW]), 1030), Step::Nudge);
}

#[test]
fn a_pod_that_stays_stale_is_evicted_only_where_another_serves_the_pair_and_the_spec_allows_it() {
    let stuck = three([NEW, "old", "old"]);
    for (up_to, expected) in [(Rung::Nudge, None), (Rung::Restart, Some("b"))] {
        let mut ladder = Ladder::new(up_to);
        ladder.round(&stuck, 0);
        assert_eq!(ladder.round(&stuck, 30), Step::Nudge);
        assert_eq!(evicts(&ladder.round(&stuck, 60)), expected, "up to {up_to:?}");
    }
    let mut ladder = Ladder::new(Rung::Observe);
    ladder.round(&stuck, 0);
    assert_eq!(ladder.round(&stuck, 1000), Step::Wait);
}

#[test]
fn the_next_follows_once_the_successor_serves_the_pair_and_all_are_back() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    ladder.round(&stuck, 0);
    ladder.round(&stuck, 30);
    assert_eq!(evicts(&ladder.round(&stuck, 60)), Some("b"));
    let fewer = mesh(vec![pod("a", leaf(NEW)), pod("c", leaf("old"))]);
    assert_eq!(ladder.round(&fewer, 95), Step::Wait, "the successor has not come");
    let mut successor = pod("d", leaf(NEW));
    successor.created = at(62);
    let back = mesh(vec![pod("a", leaf(NEW)), pod("c", leaf("old")), successor]);
    assert_eq!(evicts(&ladder.round(&back, 124)), None, "its deadline is not over");
    assert_eq!(evicts(&ladder.round(&back, 125)), Some("c"));
    assert_eq!(ladder.evicted(), Some(1), "the second is not seen to go yet");
}

#[test]
fn a_successor_that_is_stale_too_ends_the_evictions() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    ladder.round(&stuck, 0);
    ladder.round(&stuck, 30);
    assert_eq!(evicts(&ladder.round(&stuck, 60)), Some("b"));
    let mut successor = pod("d", leaf("old"));
    successor.created = at(62);
    let worse = mesh(vec![pod("a", leaf(NEW)), pod("c", leaf("old")), successor]);
    for second in [95, 200, 3600, 86_400] {
        assert_eq!(evicts(&ladder.round(&worse, second)), None);
    }
}

#[test]
fn clocks_apart_never_lead_to_more_evictions_than_there_were_pods() {
    let mut ladder = Ladder::new(Rung::Restart);
    let mut evictions = 0;
    for round in 0..100 {
        // Every successor looks an hour old and is stale.
        let [one, other] = [0, 1].map(|number| pod(&format!("b{}", evictions + number), leaf("old")));
        let stuck = mesh(vec![pod("a", leaf(NEW)), one, other]);
        evictions += usize::from(evicts(&ladder.round(&stuck, round * 31)).is_some());
    }
    assert_eq!(evictions, 3);
}

#[test]
fn a_pod_that_could_not_be_evicted_is_tried_again_and_no_other() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    for round in 0..100 {
        let step = ladder.round(&stuck, round * 31);
        assert!(evicts(&step).is_none_or(|pod| pod == "b"), "{step:?}");
    }
    assert_eq!(ladder.evicted(), Some(0));
}

#[test]
fn a_pod_is_named_before_it_is_evicted_and_counted_once_it_is_seen_to_go() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    ladder.round(&stuck, 0);
    ladder.round(&stuck, 30);
    assert_eq!(ladder.single_round(&stuck, 60).step, Step::Wait);
    let named = |ladder: &Ladder| ladder.record.as_ref().and_then(|record| record.uid.clone());
    assert_eq!(named(&ladder).as_deref(), Some("uid-b"));
    for second in [60, 61, 75] {
        let climb = ladder.single_round(&stuck, second);
        assert_eq!((evicts(&climb.step), ladder.evicted()), (Some("b"), Some(0)), "second {second}");
    }
    // What is not seen says nothing.
    ladder.single_round(&Mesh::Pending, 76);
    assert_eq!((named(&ladder).as_deref(), ladder.evicted()), (Some("uid-b"), Some(0)));
    let mut going = pod("b", leaf("old"));
    going.state = PodState::Terminating;
    let climb = ladder.single_round(&mesh(vec![pod("a", leaf(NEW)), going, pod("c", leaf("old"))]), 80);
    assert_eq!((named(&ladder), ladder.evicted()), (None, Some(1)));
    assert_eq!(climb.wake_at, Some(at(110)), "its successor has a deadline that begins now");
}

#[test]
fn a_pod_that_takes_the_pair_up_before_it_was_evicted_is_left_alone() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", NEW]);
    ladder.round(&stuck, 0);
    ladder.round(&stuck, 30);
    ladder.single_round(&stuck, 60);
    assert_eq!(ladder.single_round(&three([NEW, NEW, NEW]), 61).step, Step::Wait);
    let record = ladder.record.clone().expect("it was nudged");
    assert_eq!((record.uid, record.pod, record.evicted), (None, None, 0));
    assert_eq!(ladder.single_round(&mesh(vec![pod("a", leaf(NEW)), pod("c", leaf(NEW))]), 70).step, Step::Wait);
    assert_eq!(ladder.evicted(), Some(0), "that it went later was not our doing");
}

#[test]
fn a_successor_of_the_same_name_is_another_pod() {
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    ladder.round(&stuck, 0);
    ladder.round(&stuck, 30);
    assert_eq!(evicts(&ladder.round(&stuck, 60)), Some("b"));
    let mut successor = pod("b", leaf(NEW));
    (successor.uid, successor.created) = ("another".to_owned(), at(62));
    let next = mesh(vec![pod("a", leaf(NEW)), successor, pod("c", leaf("old"))]);
    assert_eq!(ladder.round(&next, 70), Step::Wait);
    assert_eq!(ladder.evicted(), Some(1));
    assert_eq!(evicts(&ladder.round(&next, 101)), Some("c"));
}

#[test]
fn the_only_ready_pod_is_never_evicted() {
    let mut files = pod("a", leaf("old"));
    files.files = true;
    let alone = mesh(vec![files]);
    let mut ladder = Ladder::new(Rung::Restart);
    for round in 0..100 {
        assert_eq!(ladder.round(&alone, round * 31), Step::Wait);
    }
}

#[test]
fn gateways_that_mount_the_secret_are_not_nudged_and_one_eviction_is_the_canary() {
    let pods = ["a", "b"].map(|name| PodSight { files: true, ..pod(name, leaf("old")) });
    let mounted = mesh(pods.to_vec());
    let mut ladder = Ladder::new(Rung::Restart);
    assert_eq!(ladder.round(&mounted, 0), Step::Wait);
    assert_eq!(evicts(&ladder.round(&mounted, 30)), Some("a"));
    assert!(ladder.nudges.is_empty());
}

#[test]
fn connections_that_fail_never_climb_unless_the_pod_answered_on_that_path_before() {
    for (answered_before, expected) in [(false, Step::Wait), (true, Step::Nudge)] {
        let silent = mesh(vec![pod("a", leaf(NEW)), pod("b", failed(answered_before))]);
        let mut ladder = Ladder::new(Rung::Restart);
        ladder.round(&silent, 0);
        assert_eq!(ladder.round(&silent, 30), expected, "answered before: {answered_before}");
    }
}

#[test]
fn without_one_completed_handshake_nothing_counts_as_refused() {
    let silent = mesh(vec![pod("a", failed(true)), pod("b", failed(true))]);
    let mut ladder = Ladder::new(Rung::Restart);
    ladder.round(&silent, 0);
    assert_eq!(ladder.round(&silent, 30), Step::Nudge);
    for round in 2..20 {
        assert_eq!(ladder.round(&silent, round * 30), Step::Wait);
    }
}

#[test]
fn nothing_is_done_while_pods_are_being_replaced_by_somebody_else() {
    let going = PodSight { state: PodState::Terminating, ..pod("b", leaf("old")) };
    let coming = PodSight { state: PodState::NotReady, created: at(25), ..pod("b", leaf("old")) };
    for other in [going, coming] {
        let rolling = mesh(vec![pod("a", leaf("old")), other]);
        let mut ladder = Ladder::new(Rung::Restart);
        ladder.round(&rolling, 0);
        assert_eq!(ladder.round(&rolling, 31), Step::Wait);
    }
    // One that never becomes ready does not hinder for ever.
    let unwell = PodSight { state: PodState::NotReady, ..pod("b", leaf("old")) };
    let mut ladder = Ladder::new(Rung::Restart);
    ladder.round(&mesh(vec![pod("a", leaf("old")), unwell.clone()]), 0);
    assert_eq!(ladder.round(&mesh(vec![pod("a", leaf("old")), unwell]), 31), Step::Nudge);
}

#[test]
fn another_gateway_for_the_same_host_is_no_reason_to_climb() {
    let Mesh::Known(mut gateways) = three(["old", "old", "old"]) else { unreachable!("known") };
    gateways[0].rivals.push("server https of Gateway x/y".to_owned());
    let contested = Mesh::Known(gateways);
    let mut ladder = Ladder::new(Rung::Restart);
    for round in 0..20 {
        assert_eq!(ladder.round(&contested, round * 31), Step::Wait);
    }
}

#[test]
fn what_is_not_ours_to_write_is_neither_nudged_nor_rolled_back() {
    let stale = three(["old", "old", "old"]);
    let mut record = None;
    for round in 0..20 {
        let allowance = Allowance { may_write: false, ..allowed(Rung::Nudge, &[]) };
        let climb = climb(NEW, &stale, record.as_ref(), &allowance, at(round * 31));
        assert_eq!(climb.step, Step::Wait);
        record = climb.record;
    }
}

#[test]
fn nobody_is_evicted_for_an_object_that_may_not_write() {
    // Suspended after the nudge; and a gateway with files, which needs no nudge.
    let files = mesh(["a", "b"].map(|name| PodSight { files: true, ..pod(name, leaf("old")) }).to_vec());
    let mut ladder = Ladder::new(Rung::Restart);
    let stuck = three([NEW, "old", "old"]);
    ladder.round(&stuck, 0);
    assert_eq!(ladder.round(&stuck, 30), Step::Nudge);
    for (world, mut record) in [(&stuck, ladder.record.clone()), (&files, None)] {
        for round in 1..20 {
            let allowance = Allowance { may_write: false, ..allowed(Rung::Restart, &ladder.nudges) };
            let climb = climb(NEW, world, record.as_ref(), &allowance, at(30 + round * 31));
            assert_eq!(climb.step, Step::Wait);
            record = climb.record;
        }
    }
}

#[test]
fn a_nudge_that_only_the_secret_remembers_counts() {
    let stale = three(["old", "old", "old"]);
    let mut ladder = Ladder::new(Rung::Nudge);
    ladder.round(&stale, 0);
    let before = ladder.record.clone();
    assert_eq!(ladder.round(&stale, 30), Step::Nudge);
    // The status was lost with a crash; the marker went with the write.
    ladder.record = before;
    assert_eq!(ladder.round(&stale, 31), Step::Wait);
    assert_eq!(ladder.nudges.len(), 1);
}

#[test]
fn over_weeks_a_pair_that_comes_and_goes_is_nudged_three_times_at_most() {
    let mut ladder = Ladder::new(Rung::Nudge);
    for day in 0..30 {
        for hour in 0..24 {
            let second = day * 86_400 + hour * 3600;
            ladder.round(&three([NEW, NEW, "old"]), second);
            ladder.round(&three([NEW, NEW, "old"]), second + 31);
            ladder.round(&three([NEW, NEW, NEW]), second + 60);
        }
    }
    assert_eq!(ladder.nudges.len(), NUDGES);
    assert!(ladder.nudges.windows(2).all(|two| two[1].at - two[0].at >= Duration::days(1)));
}

#[test]
fn another_pair_begins_at_the_first_rung() {
    let mut ladder = Ladder::new(Rung::Nudge);
    let stale = three(["old", "old", "old"]);
    ladder.round(&stale, 0);
    let climb = climb("newer", &stale, ladder.record.as_ref(), &allowed(Rung::Nudge, &[]), at(1000));
    assert_eq!(climb.step, Step::Wait);
    assert_eq!(climb.record.map(|record| (record.rung, record.time)), Some((Rung::Observe, at(1000))));
}
