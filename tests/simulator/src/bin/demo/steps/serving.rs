//! What the gateways serve is proven, and what is done where they do not take up a pair.

use std::time::Instant;

use certkeeper_simulator::gateway::Vice;

use super::{Demo, listed};
use crate::{
    account::{Actor, short},
    missed::Seen,
};

/// One gateway is stuck with its old leaf until the pair comes in other bytes.
pub(super) async fn stuck(demo: &mut Demo) -> Seen<()> {
    demo.account.says(Actor::Gateways, "gateway-2 is stuck, as Envoy is after a client CA that was garbage");
    demo.stage()?.places[1].gateway.set_vice(Some(Vice::Stuck));
    let (told, marks, began) = supply(demo).await?;
    let entry = demo.learns(told, "Nudged", "nudge 1").await?;
    demo.recount(&entry);
    proven(demo, &marks, began).await
}

/// One gateway takes up nothing any more: only its successor does.
pub(super) async fn evicted(demo: &mut Demo) -> Seen<()> {
    demo.account.says(Actor::Gateways, "gateway-1 takes up nothing any more (Envoy issue 42438), whatever is written");
    demo.stage()?.places[0].gateway.set_vice(Some(Vice::Deaf));
    let (told, mut marks, began) = supply(demo).await?;
    demo.learns(told, "Nudged", "nudge 1").await?;
    let entry = demo.learns(told, "Evicted", "gateway-1").await?;
    demo.recount(&entry);
    let patience = demo.patience;
    demo.stage_mut()?.replace_once_evicted(0, patience).await?;
    demo.account.says(Actor::Stage, "gateway-1 is gone, its successor gateway-4 starts");
    // Its visitor is a new one, too.
    marks[0] = demo.stage()?.marks().swap_remove(0);
    proven(demo, &marks, began).await
}

/// No gateway takes up a pair that passed every check.
pub(super) async fn rolled_back(demo: &mut Demo) -> Seen<()> {
    let good = demo.current()?.fingerprint().to_owned();
    let pair = demo.stage()?.issue(None)?;
    let bad = pair.fingerprint().to_owned();
    for place in &demo.stage()?.places {
        place.gateway.refuse(&bad);
    }
    demo.account
        .says(Actor::Gateways, &format!("none of them takes up {}, though nothing is wrong with it", short(&bad)));
    demo.account.says(Actor::You, &format!("replace the pair: leaf {}", short(&bad)));
    let (told, marks) = (demo.stage()?.object.told(), demo.stage()?.marks());
    demo.stage()?.supply_pair(&pair).await?;
    demo.learns(told, "Promoted", &bad).await?;
    demo.learns(told, "Nudged", "nudge 1").await?;
    let entry = demo.learns(told, "RolledBack", &bad).await?;
    demo.recount(&entry);
    demo.hears("SourceValid", "False", "RefusedByGateway").await?;
    demo.hears("Served", "True", "Served").await?;
    demo.all_stay(&good, &marks).await.map(drop)
}

/// Somebody supplies a pair: what was told before, where visitors are, and when that was.
async fn supply(demo: &mut Demo) -> Seen<(i64, Vec<crate::visitor::Mark>, Instant)> {
    let pair = demo.stage()?.issue(None)?;
    demo.account.says(Actor::You, &format!("replace the pair: leaf {}", short(pair.fingerprint())));
    let (told, marks) = (demo.stage()?.object.told(), demo.stage()?.marks());
    let began = demo.stage()?.supply_pair(&pair).await?;
    demo.learns(told, "Promoted", pair.fingerprint()).await?;
    demo.current = Some(pair);
    Ok((told, marks, began))
}

/// All serve the current pair, and certkeeper says so.
async fn proven(demo: &mut Demo, marks: &[crate::visitor::Mark], began: Instant) -> Seen<()> {
    let fingerprint = demo.current()?.fingerprint().to_owned();
    let times = demo.all_see(&fingerprint, marks, began).await?;
    let text = format!("all three serve {} after {}", short(&fingerprint), listed(&times));
    demo.account.says(Actor::Gateways, &text);
    demo.is_proven().await
}
