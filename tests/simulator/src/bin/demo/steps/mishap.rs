//! The gateway's Secret is damaged, and put right.

use std::time::Instant;

use futures::future::try_join_all;

use super::Demo;
use crate::{
    account::{Actor, ms, short},
    missed::{Missed, Seen},
    stage::{GATEWAY_SECRET, GATEWAYS, HOME, MESH, SOURCE},
};

/// What a Secret with a pair holds, and nothing else.
const PAIR: [&str; 2] = ["tls.crt", "tls.key"];

/// Somebody deletes the gateway's Secret.
pub(super) async fn deleted(demo: &mut Demo) -> Seen<()> {
    let fingerprint = demo.current()?.fingerprint().to_owned();
    let stage = demo.stage()?;
    let (told, marks, before) = (stage.object.told(), stage.marks(), stage.gateway_secret().await?);
    demo.account.says(Actor::Somebody, &format!("kubectl -n {MESH} delete secret {GATEWAY_SECRET}"));
    let began = demo.stage()?.delete_gateway_secret().await?;
    let entry = demo.learns(told, "Restored", "was deleted").await?;
    demo.recount(&entry);
    let after = put_right(demo, &fingerprint, began).await?;
    if after == before.uid {
        return Err(Missed::new("the Secret is another one than before", "it has the same uid"));
    }
    if demo.all_stay(&fingerprint, &marks).await? {
        return Err(Missed::new("the gateways serve on", "one of them served another leaf"));
    }
    Ok(())
}

/// An old installer writes generic keys, which Istio reads first.
pub(super) async fn masked(demo: &mut Demo) -> Seen<()> {
    let fingerprint = demo.current()?.fingerprint().to_owned();
    let foreign = demo.stage()?.issue(None)?;
    let (told, marks) = (demo.stage()?.object.told(), demo.stage()?.marks());
    let text = format!("an old installer adds the keys cert and key: leaf {}", short(foreign.fingerprint()));
    demo.account.says(Actor::Somebody, &text);
    let began = demo.stage()?.meddle("old-installer", ["cert", "key"], &foreign).await?;
    let entry = demo.learns(told, "Restored", "old-installer").await?;
    demo.recount(&entry);
    put_right(demo, &fingerprint, began).await?;
    demo.all_stay(&fingerprint, &marks).await.map(drop)
}

/// certkeeper is killed; the Secret is deleted, the source broken, a gateway restarted; then certkeeper starts again.
pub(super) async fn killed(demo: &mut Demo) -> Seen<()> {
    let fingerprint = demo.current()?.fingerprint().to_owned();
    let patience = demo.patience;
    demo.account.says(Actor::Stage, "certkeeper is killed, as by kill -9");
    demo.stage_mut()?.kill_keeper();
    demo.account.says(Actor::Somebody, &format!("kubectl -n {MESH} delete secret {GATEWAY_SECRET}"));
    demo.stage()?.delete_gateway_secret().await?;
    demo.account.says(Actor::You, &format!("break the source: Secret {HOME}/{SOURCE} holds garbage"));
    demo.stage()?.supply(&[("tls.crt", "garbage"), ("tls.key", "garbage")]).await?;
    demo.account.says(Actor::Stage, &format!("gateway-{GATEWAYS} restarts"));
    demo.stage_mut()?.restart_a_gateway().await?.visitor.sees_nothing(patience).await?;
    demo.account
        .says(Actor::Gateways, &format!("gateway-{GATEWAYS} closes every connection; the others serve from memory"));
    let (told, marks) = (demo.stage()?.object.told(), demo.stage()?.marks());
    let others = demo.stage()?.places.iter().zip(&marks).take(GATEWAYS - 1);
    try_join_all(others.map(|(place, mark)| place.visitor.stays(&fingerprint, *mark, patience))).await?;
    demo.account.says(Actor::Stage, "certkeeper starts again");
    let began = Instant::now();
    demo.stage_mut()?.start_keeper()?;
    let entry = demo.learns(told, "Restored", "from the last good pair").await?;
    demo.recount(&entry);
    demo.learns(told, "Refused", SOURCE).await?;
    demo.hears("SourceValid", "False", "Refused").await?;
    demo.hears("SecretCurrent", "True", "LastGoodKept").await?;
    put_right(demo, &fingerprint, began).await?;
    let Some((last, mark)) = demo.stage()?.places.iter().zip(&marks).next_back() else { return Ok(()) };
    last.visitor.sees(&fingerprint, *mark, patience).await?;
    if demo.all_stay(&fingerprint, &marks).await? {
        return Err(Missed::new("the gateways serve the last good leaf", "one of them served another"));
    }
    Ok(())
}

/// Somebody puts a pair of their own into the gateway's Secret.
pub(super) async fn edited(demo: &mut Demo) -> Seen<()> {
    let pair = demo.current()?.clone();
    demo.account.says(Actor::You, &format!("mend the source: leaf {} again", short(pair.fingerprint())));
    demo.stage()?.supply_pair(&pair).await?;
    demo.hears("SourceValid", "True", "Valid").await?;
    demo.stage()?.object.condition("SecretCurrent", "True", "Current", demo.patience).await?;
    let foreign = demo.stage()?.issue(None)?;
    let (told, marks) = (demo.stage()?.object.told(), demo.stage()?.marks());
    let text = format!("kubectl -n {MESH} edit secret {GATEWAY_SECRET}: leaf {}", short(foreign.fingerprint()));
    demo.account.says(Actor::Somebody, &text);
    let began = demo.stage()?.meddle("kubectl-edit", PAIR, &foreign).await?;
    let entry = demo.learns(told, "Restored", "kubectl-edit").await?;
    if entry.manager.as_deref() != Some("kubectl-edit") {
        return Err(Missed::new("the editor is named as kubectl-edit", format!("{:?}", entry.manager)));
    }
    demo.recount(&entry);
    put_right(demo, pair.fingerprint(), began).await?;
    demo.all_stay(pair.fingerprint(), &marks).await.map(drop)
}

/// The gateway's Secret holds this pair and nothing beside it. Returns the Secret's uid.
async fn put_right(demo: &mut Demo, fingerprint: &str, began: Instant) -> Seen<String> {
    let held = demo.stage()?.gateway_secret().await?;
    if held.fingerprint.as_deref() != Some(fingerprint) || held.keys != PAIR {
        return Err(Missed::new(
            format!("Secret {MESH}/{GATEWAY_SECRET} holds {fingerprint} alone"),
            format!("{held:?}"),
        ));
    }
    let after = demo.restored_after(began)?;
    let text = format!("the Secret holds {} in tls.crt and tls.key alone, {} later", short(fingerprint), ms(after));
    demo.account.says(Actor::Stage, &text);
    demo.tally.restored.push(after);
    Ok(held.uid)
}
