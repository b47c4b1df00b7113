//! Time passes, and nothing else happens.

use crate::pki::{self, Ca, Leaf};
use chrono::Duration;

use crate::{scenarios, world::World};

scenarios!(
    the_end_of_a_certificate_is_noticed_without_any_event,
    a_certificate_that_begins_later_is_promoted_when_it_begins
);

async fn the_end_of_a_certificate_is_noticed_without_any_event(world: World) {
    let short = Ca::new().issue_leaf(&Leaf { ends: Duration::seconds(12), ..Leaf::default() });
    let _keeper = world.started_with(&short).await;
    world.condition("x", "SourceValid", "True", "ValidWithWarnings").await;
    world.condition("x", "SourceValid", "False", "NothingBetter").await;
    let message = world.condition("x", "Ready", "False", "SourceRefused").await;
    assert!(message.contains("expired"), "{message}");
    world.is_silent().await;
}

async fn a_certificate_that_begins_later_is_promoted_when_it_begins(world: World) {
    let ca = Ca::new();
    let now = ca.issue(&[pki::WILDCARD]);
    let _keeper = world.started_with(&now).await;
    let later = ca.issue_leaf(&Leaf { age: Duration::seconds(-10), ..Leaf::default() });
    world.supply(&later).await;
    world.condition("x", "SourceValid", "False", "Refused").await;
    world.promoted(&later).await;
    world.condition("x", "SourceValid", "True", "Valid").await;
}
