//! One mesh for a whole test process, and the honest way to go without.

use std::{
    env,
    io::Write,
    panic::AssertUnwindSafe,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use certkeeper_control_plane::WITHOUT_APISERVER;
use certkeeper_simulator::ca::{Algorithm, Ca};
use chrono::Utc;
use futures::FutureExt;
use tokio::{runtime::Runtime, sync::Mutex};

use crate::{Error, Mesh, MeshConfig, objects};

/// Set to `1`, the environment variable leaves the tests against a real mesh out of a run.
pub const WITHOUT_MESH: &str = "CERTKEEPER_WITHOUT_MESH";

/// All tests of a process share it: a client belongs to the runtime that made it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
});
static SHARED: LazyLock<Mutex<Slot>> = LazyLock::new(Mutex::default);
static LEFT_OUT: AtomicUsize = AtomicUsize::new(0);

#[derive(Default)]
enum Slot {
    /// None was asked for yet, or a test that failed left one in a state that nobody knows.
    #[default]
    Empty,
    Running(Box<Mesh>),
    /// None can be had; tried once.
    Failed(String),
}

/// Whether the mesh is left out of this run. `test` is then named on stderr and counted.
pub fn is_left_out(test: &str) -> bool {
    let is_set = |variable: &&str| env::var_os(variable).is_some_and(|value| value == "1");
    let Some(variable) = [WITHOUT_APISERVER, WITHOUT_MESH].into_iter().find(is_set) else { return false };
    let so_far = LEFT_OUT.fetch_add(1, Ordering::Relaxed) + 1;
    say(&format!("LEFT OUT by {variable}=1 ({so_far} in this process so far): {test}"));
    true
}

/// A line on stderr that a test's capturing of output does not swallow.
pub fn say(text: &str) {
    // In one write: tests run side by side, and their lines must not mix.
    let _ = std::io::stderr().write_all(format!("mesh: {text}\n").as_bytes());
}

/// With a good pair, so that no Envoy waits for one.
async fn start() -> Result<Mesh, Error> {
    let ca = Ca::root("Mesh", Utc::now()).map_err(Error::unexpected("a CA"))?;
    let leaf = ca.leaf(&[&format!("*.{}", objects::DOMAIN)]).algorithm(Algorithm::Rsa2048);
    let pair = leaf.issue().map_err(Error::unexpected("a pair"))?;
    Mesh::start(MeshConfig { pair: Some(pair), ..MeshConfig::default() }).await
}

/// Runs `test` with the mesh of this process, three pods, alone: one test after the other has it. It is started at the
/// first call, with a good pair, and anew after a test that failed; it ends with the process.
///
/// # Panics
/// Where there can be no mesh, with what to install; and as `test` does.
pub fn with_mesh(name: &str, test: impl AsyncFnOnce(&mut Mesh)) {
    if is_left_out(name) {
        return;
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    RUNTIME.block_on(async {
        let mut slot = SHARED.lock().await;
        let taken = match std::mem::take(&mut *slot) {
            Slot::Running(mesh) => Ok(mesh),
            Slot::Empty => start().await.map(Box::new).map_err(|error| error.to_string()),
            Slot::Failed(message) => Err(message),
        };
        let mut mesh = taken.unwrap_or_else(|message| {
            *slot = Slot::Failed(message.clone());
            panic!("{message}");
        });
        match AssertUnwindSafe(test(&mut mesh)).catch_unwind().await {
            Ok(()) => *slot = Slot::Running(mesh),
            Err(panic) => {
                drop(mesh);
                drop(slot);
                std::panic::resume_unwind(panic)
            }
        }
    });
}
