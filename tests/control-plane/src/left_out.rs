//! One control plane for a whole test process, and the honest way to go without.

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::OnceCell;

use crate::{ControlPlane, Error, Gardener, GardenerSettings, binaries::say};

/// Set to `1`, the environment variable leaves the tests against a real API server out of a run.
pub const WITHOUT_APISERVER: &str = "CERTKEEPER_WITHOUT_APISERVER";

static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();
static WITH_GARDENER: OnceCell<Result<(ControlPlane, Gardener), String>> = OnceCell::const_new();
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

/// The control plane of this process, started at the first call.
///
/// It holds no [`kube::Client`]: each call of [`ControlPlane::client`] makes one for the runtime that asks, so tests
/// with runtimes of their own can share it. It ends with the process.
///
/// # Errors
/// What [`ControlPlane::start`] said, and the same again at each later call: a failed start is not repeated.
pub async fn shared() -> Result<&'static ControlPlane, Error> {
    let started = SHARED.get_or_init(async || ControlPlane::start().await.map_err(|error| error.to_string())).await;
    started.as_ref().map_err(|message| Error::Shared(message.clone()))
}

/// [`shared`], or `None` where [`WITHOUT_APISERVER`]`=1` leaves `test` out, which is said on stderr and counted.
///
/// # Errors
/// Those of [`shared`]: a machine that cannot run a control plane fails, it does not skip.
pub async fn shared_or_left_out(test: &str) -> Result<Option<&'static ControlPlane>, Error> {
    if is_left_out(test) { Ok(None) } else { shared().await.map(Some) }
}

/// A control plane of its own with Gardener's real controller at work (a look at each Certificate every ten seconds),
/// one for the whole process, started at the first call; `None` where `test` is left out as by [`shared_or_left_out`].
///
/// # Errors
/// What starting it said, and the same again at each later call.
pub async fn shared_with_gardener_or_left_out(test: &str) -> Result<Option<&'static (ControlPlane, Gardener)>, Error> {
    if is_left_out(test) {
        return Ok(None);
    }
    let start = async || {
        let plane = ControlPlane::start().await?;
        let gardener = plane.gardener(GardenerSettings::default()).await?;
        Ok((plane, gardener))
    };
    let started = WITH_GARDENER.get_or_init(async || start().await.map_err(|error: Error| error.to_string())).await;
    started.as_ref().map(Some).map_err(|message| Error::Shared(message.clone()))
}

/// Whether [`WITHOUT_APISERVER`]`=1` leaves `test` out, which is said on stderr and counted: for tests that start a
/// control plane of their own.
pub fn is_left_out(test: &str) -> bool {
    let left_out = env::var_os(WITHOUT_APISERVER).is_some_and(|value| value == "1");
    if left_out {
        let so_far = LEFT_OUT.fetch_add(1, Ordering::Relaxed) + 1;
        say(format_args!("LEFT OUT by {WITHOUT_APISERVER}=1 ({so_far} in this process so far): {test}"));
    }
    left_out
}

/// How many tests of this process were left out so far.
pub fn left_out() -> usize {
    LEFT_OUT.load(Ordering::Relaxed)
}
