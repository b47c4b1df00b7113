//! Good pairs go to the gateways.

use certkeeper_simulator::ca::Issued;
use futures::future::try_join_all;

use super::{Demo, listed};
use crate::{
    account::{Actor, short},
    missed::{Missed, Seen},
    stage::{HOME, OBJECT, SOURCE, Stage, WILDCARD},
};

/// How much of what certkeeper says is repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    All,
    Few,
    None,
}

/// How many rotations there are in a row.
const ROTATIONS: usize = 5;

/// Sets the stage: nobody has supplied anything.
pub(super) async fn begins(demo: &mut Demo) -> Seen<()> {
    let mut stage = Stage::set().await?;
    stage.withheld = demo.withhold_from == Some(1);
    let account = &demo.account;
    account.says(Actor::Stage, "an API server in memory, with the CRD of GatewayCertificate");
    let ports: Vec<String> = stage.places.iter().map(|place| place.gateway.address().port().to_string()).collect();
    account.says(Actor::Stage, &format!("three gateways for {WILDCARD} on 127.0.0.1, ports {}", ports.join(", ")));
    account.says(Actor::Stage, "certkeeper starts, with the rights of docs/permissions.md and no others");
    stage.start_keeper()?;
    account.says(Actor::You, &format!("create GatewayCertificate {HOME}/{OBJECT}, source: Secret {SOURCE}"));
    stage.ask().await?;
    demo.stage = Some(stage);
    demo.hears("SourceValid", "False", "SourceMissing").await?;
    demo.hears("SecretCurrent", "False", "NothingToWrite").await?;
    try_join_all(demo.stage()?.places.iter().map(|place| place.visitor.sees_nothing(demo.patience))).await?;
    demo.account.says(Actor::Gateways, "all three close every connection: they have no certificate to show");
    Ok(())
}

/// The first pair.
pub(super) async fn first(demo: &mut Demo) -> Seen<()> {
    let pair = demo.stage()?.issue(None)?;
    let text = format!("create Secret {HOME}/{SOURCE}: leaf {}, RSA-2048", short(pair.fingerprint()));
    demo.account.says(Actor::You, &text);
    promote(demo, pair, Words::All).await
}

/// A rotation after the other.
pub(super) async fn rotations(demo: &mut Demo) -> Seen<()> {
    for _ in 0..ROTATIONS {
        let pair = demo.stage()?.issue(None)?;
        demo.account.says(Actor::You, &format!("replace the pair: leaf {}", short(pair.fingerprint())));
        promote(demo, pair, Words::None).await?;
    }
    Ok(())
}

/// A good pair where a bad one was.
pub(super) async fn again(demo: &mut Demo) -> Seen<()> {
    let pair = demo.stage()?.issue(None)?;
    demo.account.says(Actor::You, &format!("replace the half by a pair: leaf {}", short(pair.fingerprint())));
    promote(demo, pair, Words::Few).await
}

/// Supplies a pair, and waits until it is promoted and served by all.
pub(super) async fn promote(demo: &mut Demo, pair: Issued, words: Words) -> Seen<()> {
    let fingerprint = pair.fingerprint().to_owned();
    let stage = demo.stage()?;
    let (told, marks) = (stage.object.told(), stage.marks());
    let began = stage.supply_pair(&pair).await?;
    let entry = demo.learns(told, "Promoted", &fingerprint).await?;
    let written = demo.restored_after(began)?;
    if words != Words::None {
        demo.recount(&entry);
    }
    for (kind, reason) in [("SourceValid", "Valid"), ("SecretCurrent", "Current")] {
        let condition = demo.stage()?.object.condition(kind, "True", reason, demo.patience).await?;
        if words != Words::None {
            demo.quote(&condition, words == Words::All);
        }
    }
    let held = demo.stage()?.gateway_secret().await?.fingerprint;
    if held.as_ref() != Some(&fingerprint) {
        return Err(Missed::new(format!("the gateway's Secret holds {fingerprint}"), format!("it holds {held:?}")));
    }
    let times = demo.all_see(&fingerprint, &marks, began).await?;
    let text = format!("all three serve {} after {}", short(&fingerprint), listed(&times));
    demo.account.says(Actor::Gateways, &text);
    demo.tally.promoted.push(written);
    demo.tally.served.extend(times);
    demo.current = Some(pair);
    if words == Words::All { demo.is_proven().await } else { Ok(()) }
}
