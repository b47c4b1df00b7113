//! The components that need the certificate have it, too.

use std::time::{Duration, Instant};

use certkeeper::api::GatewayCertificateStatus;

use super::{Demo, promotion};
use crate::{
    account::{Actor, ms, short},
    components::{Copied, LABEL, PAIR, PUBLIC, SHOP},
    missed::{Missed, Seen},
    stage::{HOME, OBJECT},
};

/// A namespace that gains the label later.
const BLOG: &str = "blog";
/// A namespace in which somebody else has a Secret of the copy's name.
const ATTIC: &str = "attic";
/// Who has it.
const TENANT: &str = "attic-tenant";
/// What a copy holds, by its name.
const BOTH: &[&str] = &["tls.crt", "tls.key"];
const CERTIFICATE: &[&str] = &["tls.crt"];

/// Targets are named; the namespaces appear, or gain the label; a rotation reaches every copy.
pub(super) async fn appear(demo: &mut Demo) -> Seen<()> {
    let (label, value) = LABEL;
    let text = format!(
        "name targets in {HOME}/{OBJECT}: {PUBLIC} without the key for namespaces labelled {label}={value}, {PAIR} with \
         it for namespace {SHOP}"
    );
    demo.account.says(Actor::You, &text);
    let told = demo.stage()?.object.told();
    demo.stage()?.name_targets().await?;
    demo.learns(told, "NamespaceMissing", SHOP).await?;
    demo.hears("Distributed", "False", "TargetsFailed").await?;
    demo.account.says(Actor::Somebody, &format!("kubectl create namespace {SHOP}, with the label"));
    let began = demo.stage()?.namespace_appears(SHOP, true).await?;
    arrives(demo, (SHOP, PUBLIC), began).await?;
    arrives(demo, (SHOP, PAIR), began).await?;
    demo.stage()?.namespace_appears(BLOG, false).await?;
    demo.account.says(Actor::Somebody, &format!("kubectl label namespace {BLOG} {label}={value}"));
    let began = demo.stage()?.label(BLOG).await?;
    arrives(demo, (BLOG, PUBLIC), began).await?;
    let pair = demo.stage()?.issue(None)?;
    demo.account.says(Actor::You, &format!("replace the pair: leaf {}", short(pair.fingerprint())));
    promotion::promote(demo, pair, promotion::Words::None).await?;
    for place in [(SHOP, PUBLIC), (SHOP, PAIR), (BLOG, PUBLIC)] {
        holds(demo, place, |_| true).await?;
    }
    let text = format!("all three copies hold {}, too", short(demo.current()?.fingerprint()));
    demo.account.says(Actor::Stage, &text);
    all_hold(demo, 3).await
}

/// Somebody deletes a copy.
pub(super) async fn deleted(demo: &mut Demo) -> Seen<()> {
    let place = (SHOP, PAIR);
    let (before, _) = holds(demo, place, |_| true).await?;
    demo.account.says(Actor::Somebody, &format!("kubectl -n {SHOP} delete secret {PAIR}"));
    let began = demo.stage()?.delete(SHOP, PAIR).await?;
    let (_, at) = holds(demo, place, |now| now.uid != before.uid).await?;
    told_of(demo, place, at.saturating_duration_since(began), "is there again")?;
    all_hold(demo, 3).await
}

/// Somebody else has a Secret where a copy should be.
pub(super) async fn in_the_way(demo: &mut Demo) -> Seen<()> {
    let (label, value) = LABEL;
    demo.account.says(Actor::Somebody, &format!("namespace {ATTIC}: {TENANT} has a Secret {PUBLIC} of its own"));
    demo.stage()?.namespace_appears(ATTIC, false).await?;
    demo.stage()?.puts_in_the_way(TENANT, ATTIC, PUBLIC).await?;
    let before = demo.stage()?.copy(ATTIC, PUBLIC).await?;
    let told = demo.stage()?.object.told();
    demo.account.says(Actor::Somebody, &format!("kubectl label namespace {ATTIC} {label}={value}"));
    demo.stage()?.label(ATTIC).await?;
    demo.learns(told, "ForeignOwner", TENANT).await?;
    demo.hears("Distributed", "False", "TargetsFailed").await?;
    named_in_status(demo).await?;
    let after = demo.stage()?.copy(ATTIC, PUBLIC).await?;
    if before.is_none() || after != before {
        return Err(Missed::new(format!("Secret {ATTIC}/{PUBLIC} stays {before:?}"), format!("{after:?}")));
    }
    demo.account.says(Actor::Stage, "the Secret is as it was, and listed in status.targets.failures");
    demo.account.says(Actor::Somebody, &format!("kubectl -n {ATTIC} delete secret {PUBLIC}: {TENANT} moves out"));
    let began = demo.stage()?.delete(ATTIC, PUBLIC).await?;
    arrives(demo, (ATTIC, PUBLIC), began).await?;
    all_hold(demo, 4).await
}

/// The status lists this failure alone, and the other copies as current.
async fn named_in_status(demo: &Demo) -> Seen<()> {
    let patience = demo.patience;
    let expected = format!("the status lists {ATTIC} alone, with its owner {TENANT}, and 3 of 4 copies as current");
    let object = &demo.stage()?.object;
    let look = |status: &GatewayCertificateStatus| {
        let targets = status.targets.as_ref()?;
        let [failure] = targets.failures.as_slice() else { return None };
        let named = failure.namespace == ATTIC && failure.message.contains(TENANT);
        (named && (targets.current, targets.desired) == (3, 4)).then_some(())
    };
    object.until(patience, &expected, look).await
}

/// certkeeper says that so many copies hold the current pair, and that is all.
async fn all_hold(demo: &Demo, count: usize) -> Seen<()> {
    let whole = format!("all {count} copies hold fingerprint {}", demo.current()?.fingerprint());
    let expected = format!("certkeeper says Distributed=True: {whole}");
    let look = |status: &GatewayCertificateStatus| {
        let distributed = status.conditions.iter().find(|condition| condition.type_ == "Distributed")?;
        (distributed.status == "True" && distributed.message == whole).then(|| distributed.clone())
    };
    let condition = demo.stage()?.object.until(demo.patience, &expected, look).await?;
    demo.quote(&condition, true);
    Ok(())
}

/// Waits for a copy of the current pair, and gives how long it took.
async fn arrives(demo: &mut Demo, place: (&str, &str), began: Instant) -> Seen<()> {
    let (_, at) = holds(demo, place, |_| true).await?;
    told_of(demo, place, at.saturating_duration_since(began), "is there")
}

fn told_of(demo: &mut Demo, (namespace, name): (&str, &str), after: Duration, how: &str) -> Seen<()> {
    let leaf = short(demo.current()?.fingerprint());
    let keys = keys(name).join(" and ");
    let text = format!("Secret {namespace}/{name} {how} after {}: {leaf} in {keys} alone", ms(after));
    demo.account.says(Actor::Stage, &text);
    demo.tally.copied.push(after);
    Ok(())
}

/// Waits until a place holds a copy of the current pair.
async fn holds(demo: &Demo, place: (&str, &str), more: impl Fn(&Copied) -> bool) -> Seen<(Copied, Instant)> {
    let leaf = demo.current()?.fingerprint();
    let keys = keys(place.1);
    let expected = format!("holds a copy of {leaf} in {} alone", keys.join(" and "));
    demo.stage()?.copy_is(place, demo.patience, &expected, |copy| copy.is(leaf, keys) && more(copy)).await
}

fn keys(name: &str) -> &'static [&'static str] {
    if name == PAIR { BOTH } else { CERTIFICATE }
}
