//! The only place that reads the time.

use std::{fmt::Debug, sync::Arc};

use chrono::{DateTime, SubsecRound, Utc};

/// Tells what time it is. Production uses [`SystemClock`]; a simulation has its own.
pub trait Clock: Debug + Send + Sync {
    /// The time now, in whole seconds as certificates and statuses have it.
    fn now(&self) -> DateTime<Utc>;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(0)
    }
}
