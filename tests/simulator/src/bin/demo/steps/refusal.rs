//! Bad material is refused with its reason, and what was served is served on.

use certkeeper_simulator::ca::Validity;
use chrono::Utc;

use super::Demo;
use crate::{
    account::{Actor, Paint, short},
    missed::{Missed, Seen},
};

/// The certificate of one pair with the key of another.
pub(super) async fn mismatched(demo: &mut Demo) -> Seen<()> {
    let new = demo.stage()?.issue(None)?;
    let mixed = new.with_key_of(demo.current()?);
    let text = format!("replace the certificate by leaf {}, and forget to replace the key", short(new.fingerprint()));
    demo.account.says(Actor::You, &text);
    refused(demo, &[("tls.crt", &mixed.certificate()), ("tls.key", mixed.key())], "pair-mismatch").await
}

/// A certificate that ended yesterday.
pub(super) async fn expired(demo: &mut Demo) -> Seen<()> {
    let old = demo.stage()?.issue(Some(Validity::ended(Utc::now())))?;
    let text = format!("replace the pair by an old one: leaf {}", short(old.fingerprint()));
    demo.account.says(Actor::You, &text);
    refused(demo, &[("tls.crt", &old.certificate()), ("tls.key", old.key())], "expired").await
}

/// A certificate, and no key.
pub(super) async fn half(demo: &mut Demo) -> Seen<()> {
    let new = demo.stage()?.issue(None)?;
    let text = format!("replace the pair by leaf {} alone, without tls.key", short(new.fingerprint()));
    demo.account.says(Actor::You, &text);
    refused(demo, &[("tls.crt", &new.certificate())], "key-missing").await
}

/// Supplies what is to be refused by this check, and sees that nothing else changes.
async fn refused(demo: &mut Demo, entries: &[(&str, &str)], check: &str) -> Seen<()> {
    let stage = demo.stage()?;
    let before = stage.gateway_secret().await?;
    let (told, marks) = (stage.object.told(), stage.marks());
    stage.supply(entries).await?;
    let expected = format!("certkeeper says SourceValid=False (Refused), by its check {check}");
    let (condition, findings) = stage
        .object
        .until(demo.patience, &expected, |status| {
            let found = status.findings.first().is_some_and(|finding| finding.check == check);
            let condition = status.conditions.iter().find(|c| c.type_ == "SourceValid" && c.reason == "Refused");
            condition.filter(|_| found).map(|condition| (condition.clone(), status.findings.clone()))
        })
        .await?;
    demo.learns(told, "Refused", &condition.message).await?;
    demo.quote(&condition, true);
    let names: Vec<String> = findings.iter().map(|f| format!("{} ({})", f.check, f.severity)).collect();
    demo.account.line(Actor::Certkeeper, Paint::Yellow, "findings", &format!(": {}", names.join(", ")));
    let kept = demo.stage()?.object.condition("SecretCurrent", "True", "LastGoodKept", demo.patience).await?;
    demo.quote(&kept, false);
    let ready = demo.stage()?.object.condition("Ready", "False", "SourceRefused", demo.patience).await?;
    demo.quote(&ready, false);
    let fingerprint = demo.current()?.fingerprint().to_owned();
    let changed = demo.all_stay(&fingerprint, &marks).await?;
    let after = demo.stage()?.gateway_secret().await?;
    if changed || after.version != before.version {
        let seen = format!("the Secret went from {before:?} to {after:?}; other leaves seen: {changed}");
        return Err(Missed::new("nothing is written to the gateway's Secret, and nothing else is served", seen));
    }
    Ok(())
}
