//! Nothing happens any more.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Demo;
use crate::{
    account::Actor,
    missed::{Missed, Seen},
};

/// So long nothing is written before the silence is measured.
const SETTLED: Duration = Duration::from_millis(300);
/// So long the silence is measured.
const SILENCE: Duration = Duration::from_secs(1);

/// Nothing is written by anybody; what happened was told once; certkeeper ends when asked to.
pub(super) async fn falls(demo: &mut Demo) -> Seen<()> {
    settles(demo).await?;
    let before = demo.stage()?.changes();
    let began = Instant::now();
    sleep(SILENCE).await;
    let (time, writes) = (began.elapsed(), demo.stage()?.changes() - before);
    demo.tally.silence = Some((time, writes));
    if writes > 0 {
        return Err(Missed::new(format!("nothing is written in {time:?}"), format!("{writes} writes were made")));
    }
    demo.account.says(Actor::Stage, &format!("0 writes in {:.1} s, by anybody", time.as_secs_f64()));
    let told = &demo.tally.told;
    let mut events = demo.stage()?.events().await?;
    events.retain(|reason, _| told.contains_key(reason));
    if events != *told {
        return Err(Missed::new(format!("each thing is told by one Event: {told:?}"), format!("{events:?}")));
    }
    let list: Vec<String> = events.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    demo.account.says(Actor::Certkeeper, &format!("told as Events, each thing once: {}", list.join(", ")));
    let began = Instant::now();
    let patience = demo.patience;
    demo.stage_mut()?.stop_keeper(patience).await?;
    let text = format!(
        "certkeeper is asked to end, as by SIGTERM, and does so in {:.1} ms",
        began.elapsed().as_secs_f64() * 1000.0
    );
    demo.account.says(Actor::Stage, &text);
    Ok(())
}

/// Waits until nothing was written for a while.
async fn settles(demo: &Demo) -> Seen<()> {
    let stage = demo.stage()?;
    let deadline = Instant::now() + demo.patience;
    let mut last = (stage.changes(), Instant::now());
    while last.1.elapsed() < SETTLED {
        if Instant::now() > deadline {
            let expected = format!("certkeeper settles within {:?}", demo.patience);
            return Err(Missed::new(expected, format!("{} changes so far, and still more", last.0)));
        }
        sleep(Duration::from_millis(10)).await;
        if stage.changes() != last.0 {
            last = (stage.changes(), Instant::now());
        }
    }
    Ok(())
}
