//! The simulator's gateway beside the real ones: both follow the same Secret of the same API server, and after each
//! write both are to serve the same leaf.

use std::time::Duration;

use certkeeper::gateway::{TcpDial, handshake};
use certkeeper_mesh::{
    Mesh, Seen,
    objects::{DOMAIN, ISTIO, SECRET},
    with_mesh,
};
use certkeeper_simulator::gateway::{LoopbackGateway, Settings, Vice};
use tokio::time::{Instant, sleep};

use crate::{
    materials::Material::*,
    seen::{DEADLINE, EVERY},
    stage::{Bare, Stage},
    steps::{
        Change::{self, *},
        ClientCa as Ca, Expected,
        Generic::{CertificateAlone, Empty, Pair as Both},
        Leaf::{self, New, Old},
    },
};

/// Ten times the debounce: what has not changed by then does not change.
const WINDOW: Duration = Duration::from_secs(1);

struct Pair<'a> {
    real: Stage<'a, Bare>,
    simulated: LoopbackGateway,
}

async fn simulated(mesh: &Mesh) -> LoopbackGateway {
    let settings = Settings::new("simulated", ISTIO, SECRET, &[&format!("*.{DOMAIN}")]);
    LoopbackGateway::start(mesh.client(), settings).await.expect("a port")
}

impl<'a> Pair<'a> {
    async fn set(mesh: &'a mut Mesh, case: &'static str) -> Self {
        let real = Stage::set(mesh, Bare, case).await;
        let simulated = simulated(real.mesh).await;
        let mut pair = Self { real, simulated };
        pair.agree("at first", Some(Old)).await;
        pair
    }

    /// What the simulated one serves now, by a handshake; `None`: the connection was ended without one.
    async fn imitated(&self) -> Option<String> {
        let shaken = handshake(&TcpDial, self.simulated.address(), &format!("ok.{DOMAIN}"), DEADLINE).await;
        shaken.ok().map(|chain| chain.fingerprint.to_string())
    }

    /// Both serve this leaf, or nothing, before long, and go on doing so.
    async fn agree(&mut self, after: &str, wanted: Option<Leaf>) {
        let wanted = wanted.map(|which| self.real.leaf(which));
        let (deadline, mut since) = (Instant::now() + DEADLINE, Instant::now());
        loop {
            let seen = self.real.mesh.seen().await;
            let imitated = self.imitated().await;
            let real = |seen: &Seen| match seen {
                Seen::Leaf(leaf) => Some(leaf.clone()),
                Seen::Nothing(_) => None,
            };
            let is_so = imitated == wanted && !seen.is_empty() && seen.values().all(|seen| real(seen) == wanted);
            if !is_so {
                since = Instant::now();
            }
            if since.elapsed() > WINDOW {
                return;
            }
            let case = self.real.case;
            assert!(
                Instant::now() < deadline,
                "{case}: after {after} both are to serve {wanted:?}; Envoys {seen:?}, simulated {imitated:?}"
            );
            sleep(EVERY).await;
        }
    }

    async fn write(&mut self, change: Change, wanted: Option<Leaf>) {
        self.real.act(change).await;
        self.agree(&format!("{change:?}"), wanted).await;
        if wanted == Some(New) {
            self.real.old = self.real.new.clone();
        }
    }
}

#[test]
fn the_simulated_gateway_takes_up_and_refuses_what_envoy_does() {
    let name = "the simulated gateway beside Envoy";
    with_mesh(name, async |mesh| {
        let mut pair = Pair::set(mesh, name).await;
        for refused in [MismatchedKey, GarbageKey, GarbageCertificate, EmptyKey, EncryptedKey, Rsa1024] {
            pair.write(Change::Pair(refused), Some(Old)).await;
        }
        for taken in [Good, Expired, P256, P384, Good] {
            pair.write(Change::Pair(taken), Some(New)).await;
        }
        pair.write(SameInOtherBytes, Some(Old)).await;
        pair.write(Beside(CertificateAlone), Some(Old)).await;
        pair.write(Beside(Empty), Some(Old)).await;
        pair.write(Delete, Some(Old)).await;
        pair.write(Change::Pair(Good), Some(New)).await;
        pair.write(Beside(Both), Some(Leaf::Generic)).await;
        pair.write(Change::Pair(Good), Some(Leaf::Generic)).await;
    });
}

#[test]
fn the_simulated_gateway_is_stuck_as_envoy_is_until_other_bytes_come() {
    let name = "a stuck simulated gateway beside stuck Envoys";
    with_mesh(name, async |mesh| {
        let mut pair = Pair::set(mesh, name).await;
        pair.real.act(ClientCa(Ca::Good)).await;
        pair.real.act(Mode("MUTUAL")).await;
        pair.real.see(Expected::AskClients).await.expect("MUTUAL");
        pair.real.act(Floor("TLSV1_3")).await;
        pair.real.see(Expected::Tls12(false)).await.expect("the floor");
        pair.simulated.set_vice(Some(Vice::Stuck));
        pair.write(ClientCa(Ca::Garbage), Some(Old)).await;
        pair.real.act(Change::Pair(Good)).await;
        pair.agree("a good pair", Some(Old)).await;
        pair.write(ClientCa(Ca::Good), Some(Old)).await;
        pair.write(Touch, Some(Old)).await;
        pair.write(SameInOtherBytes, Some(New)).await;
    });
}

#[test]
fn the_simulated_gateway_that_starts_with_nothing_good_serves_nothing_as_envoy_does() {
    let name = "a simulated gateway that starts with nothing good, beside Envoys";
    with_mesh(name, async |mesh| {
        let mut pair = Pair::set(mesh, name).await;
        for change in [Change::Pair(MismatchedKey), Delete] {
            pair.write(change, Some(Old)).await;
            pair.real.act(RestartAll).await;
            pair.simulated = simulated(pair.real.mesh).await;
            pair.agree("a start on nothing good", None).await;
            pair.write(Change::Pair(Good), Some(New)).await;
        }
    });
}
