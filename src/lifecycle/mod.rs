//! What shall happen. Pure and total: [`decide`] looks at what was observed and at the time, and answers with a
//! [`Plan`]: the writes to make in their order, the status to publish, and when to look again.
//!
//! Law 1's order is in [`order`], who may write in `stance`, which pair the gateway should have in `choice`,
//! the words of a status in `report`, the copies in [`targets`], what is to be asked of a gateway's pods in [`serving`], what is
//! done to have a pair served in [`reload`], what goes back in `rollback`, what is said of the pods in `served`, the CA
//! certificates of mutual TLS in [`client_ca`], the Gateway itself in [`gateway_object`], what is
//! requested of Gardener in [`gardener`].

mod accept;
mod choice;
pub mod client_ca;
mod decide;
mod farewell;
pub mod gardener;
pub mod gateway_object;
mod observed;
pub mod order;
mod plan;
mod policy;
mod reason;
pub mod reload;
mod report;
mod rollback;
mod served;
pub mod serving;
mod source;
mod stance;
pub mod targets;

pub use accept::accepts;
pub use decide::decide;
pub use observed::{
    Failure, FailureKind, Leftover, Object, ObjectName, Observed, Policy, Probe, Proxy, Rival, Settings, Slot, Source,
    Stored, Supply, Undo, Version, Wants,
};
pub use plan::{
    Action, CertificateSummary, Condition, ConditionStatus, Entry, FindingSummary, GatewayReport, Pace, Plan,
    PodReport, Status, Write,
};
pub use reason::Reason;
pub use report::finding_summary;

/// How many history entries and findings a status carries.
pub const MAX_LISTED: usize = 20;
