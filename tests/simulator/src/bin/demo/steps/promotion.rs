//! Good pairs go to the gateways.

use certkeeper_simulator::ca::Issued;
use futures::future::try_join_all;

use super::{Demo, listed};
use crate::{
    account::{Actor, short},
    missed::{Missed, Seen},
    stage::{HOME, OBJECT, SOURCE, Stage, WILDCARD},
};

/// How many rotations there are in a row.
const ROTATIONS: usize = 5;

/// Sets the stage: nobody has supplied anything.
pub(super) async fn begins(demo: &mut Demo) -> Seen<()> {
    let mut stage = Stage::set().await?;
    stage.withheld = demo.withhold_from == Some(1);
    let account = &demo.account;
    account.says(Actor::Stage, "an API server in memory, with the CRD gatewaycertificates.certs.kyma-project.io");
    let ports: Vec<String> = stage.places.iter().map(|place| place.gateway.address().port().to_string()).collect();
    account.says(Actor::Stage, &format!("three gateways for {WILDCARD} on 127.0.0.1, ports {}", ports.join(", ")));
    account.says(Actor::Stage, "certkeeper starts, with the rights of docs/permissions.md and no others");
    stage.start_keeper()?;
    account
        .says(Actor::You, &format!("create GatewayCertificate {HOME}/{OBJECT}: its pair will be in Secret {SOURCE}"));
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
    let text =
        format!("create Secret {HOME}/{SOURCE}: leaf {}, RSA-2048, and its intermediate", short(pair.fingerprint()));
    demo.account.says(Actor::You, &text);
    promote(demo, pair, true).await
}

/// A rotation after the other.
pub(super) async fn rotations(demo: &mut Demo) -> Seen<()> {
    for _ in 0..ROTATIONS {
        let pair = demo.stage()?.issue(None)?;
        demo.account.says(Actor::You, &format!("replace the pair: leaf {}", short(pair.fingerprint())));
        promote(demo, pair, false).await?;
    }
    Ok(())
}

/// A good pair where a bad one was.
pub(super) async fn again(demo: &mut Demo) -> Seen<()> {
    let pair = demo.stage()?.issue(None)?;
    demo.account.says(Actor::You, &format!("replace the half by a pair: leaf {}", short(pair.fingerprint())));
    promote(demo, pair, true).await
}

/// Supplies a pair, and waits until it is promoted and served by all.
async fn promote(demo: &mut Demo, pair: Issued, in_words: bool) -> Seen<()> {
    let fingerprint = pair.fingerprint().to_owned();
    let stage = demo.stage()?;
    let (told, marks) = (stage.object.told(), stage.marks());
    let began = stage.supply_pair(&pair).await?;
    let entry = demo.learns(told, "Promoted", &fingerprint).await?;
    let written = demo.restored_after(began)?;
    if in_words {
        demo.recount(&entry);
        demo.hears("SourceValid", "True", "Valid").await?;
        demo.hears("SecretCurrent", "True", "Current").await?;
    } else {
        demo.stage()?.object.condition("SecretCurrent", "True", "Current", demo.patience).await?;
    }
    let held = demo.stage()?.gateway_secret().await?.fingerprint;
    if held.as_ref() != Some(&fingerprint) {
        return Err(Missed::new(format!("the gateway's Secret holds {fingerprint}"), format!("it holds {held:?}")));
    }
    let times = demo.all_see(&fingerprint, &marks, began).await?;
    let text = format!("all three serve {}, {} after the write", short(&fingerprint), listed(&times));
    demo.account.says(Actor::Gateways, &text);
    demo.tally.promoted.push(written);
    demo.tally.served.extend(times);
    demo.current = Some(pair);
    Ok(())
}
