//! A case at work on the real mesh: what is seen.

use std::{collections::BTreeMap, time::Duration};

use certkeeper::{
    certificate::{Supplied, read},
    gateway::{TcpDial, Versions, handshake},
};
use certkeeper_mesh::{
    Seen,
    objects::{DOMAIN, SECRET},
    say,
};
use tokio::time::{Instant, sleep};

use crate::{
    stage::{Hand, Stage},
    steps::{Expected, Told},
};

/// Several times what any of it takes on an idle machine, the 15 s that Envoy waits for a first pair included.
pub const DEADLINE: Duration = Duration::from_secs(45);
/// istiod gathers changes for 100 ms and Envoy needs 20: what has not happened after this does not happen.
const WINDOW: Duration = Duration::from_millis(1500);
/// Ten times what a good pair takes to be served.
pub const COMES_ROUND: Duration = Duration::from_secs(3);
/// Between two looks.
pub const EVERY: Duration = Duration::from_millis(20);

/// What Envoys count of their Secrets, by pod, and istiod of what was rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Attempts, successes and rejections, over the pair and the client CA.
    envoys: BTreeMap<String, [u64; 3]>,
    istiod_rejects: u64,
}

impl<H: Hand> Stage<'_, H> {
    pub async fn count(&self) -> Counted {
        let mut counted = Counted::default();
        for pod in self.mesh.gateways() {
            let text = self.mesh.ask_envoy(&pod.name, "/stats?filter=%5Esds%5C.").await.ok().flatten();
            let sum = |suffix: &str| {
                let lines = text.iter().flat_map(|text| text.lines());
                lines.filter_map(|line| line.split_once(suffix)?.1.trim().parse::<u64>().ok()).sum()
            };
            let envoy = [".update_attempt:", ".update_success:", ".update_rejected:"].map(sum);
            counted.envoys.insert(pod.name, envoy);
        }
        let rejects = self.mesh.istiod_figure("pilot_total_xds_rejects{type=\"sds\"}").await;
        counted.istiod_rejects = rejects.unwrap_or(0);
        counted
    }

    /// Whether it is as expected, or what is seen instead.
    pub async fn see(&self, expected: Expected) -> Result<(), String> {
        match expected {
            Expected::Serve(which) => {
                let leaf = self.leaf(which);
                self.mesh.until_all_serve(&leaf, DEADLINE).await.map_err(|seen| self.told(&seen))?;
                say(&format!("{:>6} ms to serve {which:?}: {}", self.changed.elapsed().as_millis(), self.case));
                Ok(())
            }
            Expected::Keep(which) => self.keep(&Seen::Leaf(self.leaf(which))).await,
            Expected::Nothing => self.until(|seen| seen.values().all(is_ended)).await,
            Expected::FirstNothingOthers(which) => {
                let (first, leaf) = (self.first(), Seen::Leaf(self.leaf(which)));
                let is_so = |(name, one): (&String, &Seen)| {
                    matches!(one, Seen::Nothing(_)) == (*name == first) && (*name == first || *one == leaf)
                };
                self.until(|seen| seen.iter().all(is_so)).await
            }
            Expected::OtherNamesGetNothing => {
                for name in ["ok.elsewhere.test", DOMAIN, "127.0.0.1"] {
                    let seen = self.mesh.seen_with(name, Versions::Any).await;
                    if !seen.values().all(is_ended) {
                        return Err(format!("{name}: {}", self.told(&seen)));
                    }
                }
                Ok(())
            }
            Expected::AskClients => self.ask_clients().await,
            Expected::Tls12(wanted) => self.tls12(wanted).await,
            Expected::Refused => self.refused().await,
            Expected::Unnoticed => self.unnoticed().await,
            Expected::Live => self.live().await,
            Expected::DumpShowsStored => self.dump_shows_stored().await,
            Expected::Stored(which) => self.stored(&self.leaf(which)).await,
            Expected::Says(told) => {
                let leaf = if let Told::Proven(which) = told { self.leaf(which) } else { String::new() };
                self.hand.told(self.mesh, told, &leaf).await
            }
        }
    }

    fn told(&self, seen: &BTreeMap<String, Seen>) -> String {
        format!("{seen:?}; old {}, new {}, generic {}", self.old, self.new, self.generic)
    }

    async fn until(&self, is_so: impl Fn(&BTreeMap<String, Seen>) -> bool) -> Result<(), String> {
        self.mesh.until(DEADLINE, is_so).await.map(drop).map_err(|seen| self.told(&seen))
    }

    /// Each handshake within the window shows this.
    async fn keep(&self, wanted: &Seen) -> Result<(), String> {
        let end = Instant::now() + WINDOW;
        while Instant::now() < end {
            let seen = self.mesh.seen().await;
            if seen.is_empty() || seen.values().any(|one| one != wanted) {
                return Err(self.told(&seen));
            }
            sleep(EVERY).await;
        }
        Ok(())
    }

    /// As wanted ten times in a row, before long.
    async fn tls12(&self, wanted: bool) -> Result<(), String> {
        let (end, name) = (Instant::now() + WINDOW, format!("ok.{DOMAIN}"));
        let mut held = 0;
        while held < 10 {
            let seen = self.mesh.seen_with(&name, Versions::Tls12).await;
            let is_so = seen.values().all(|one| matches!(one, Seen::Leaf(_)) == wanted);
            held = if is_so { held + 1 } else { 0 };
            if !is_so && Instant::now() > end {
                return Err(self.told(&seen));
            }
            sleep(EVERY).await;
        }
        Ok(())
    }

    async fn ask_clients(&self) -> Result<(), String> {
        let (deadline, name) = (Instant::now() + DEADLINE, format!("ok.{DOMAIN}"));
        for pod in self.mesh.gateways() {
            while !handshake(&TcpDial, pod.tls, &name, WINDOW).await.is_ok_and(|chain| chain.asks_client) {
                if Instant::now() > deadline {
                    return Err(format!("{} does not", pod.name));
                }
                sleep(EVERY).await;
            }
        }
        Ok(())
    }

    async fn refused(&self) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let now = self.count().await;
            let rejected = |(name, counts): (&String, &[u64; 3])| counts[2] > self.before.envoys[name][2];
            if now.envoys.iter().all(rejected) && now.istiod_rejects > self.before.istiod_rejects {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("before {:?}, now {now:?}", self.before));
            }
            sleep(EVERY).await;
        }
    }

    async fn unnoticed(&self) -> Result<(), String> {
        loop {
            let now = self.count().await;
            if now != self.before {
                return Err(format!("before {:?}, now {now:?}", self.before));
            }
            if self.changed.elapsed() > WINDOW {
                return Ok(());
            }
            sleep(EVERY).await;
        }
    }

    async fn live(&self) -> Result<(), String> {
        for pod in self.mesh.gateways() {
            if !self.mesh.is_live(&pod.name).await.map_err(|error| error.to_string())? {
                return Err(format!("{} is not", pod.name));
            }
        }
        Ok(())
    }

    async fn stored(&self, leaf: &str) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let secret = self.secrets().get_opt(SECRET).await.map_err(|error| error.to_string())?;
            let data = secret.and_then(|secret| secret.data).unwrap_or_default();
            let bytes = |key: &str| data.get(key).map(|value| value.0.as_slice());
            let supplied = Supplied { certificate: bytes("tls.crt"), key: bytes("tls.key"), staple: None };
            let pair = read(&supplied).pair().map(|pair| pair.fingerprint().to_string());
            let keys: Vec<&String> = data.keys().collect();
            if pair.as_deref() == Some(leaf) && !data.contains_key("cert") && !data.contains_key("key") {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{pair:?} in {keys:?}; wanted {leaf}"));
            }
            sleep(EVERY).await;
        }
    }

    async fn dump_shows_stored(&self) -> Result<(), String> {
        let stored = self.secrets().get(SECRET).await.map_err(|error| error.to_string())?.data.unwrap_or_default();
        // Bytes in JSON are base64, Envoy's as well.
        let chain = serde_json::to_value(&stored["tls.crt"]).map_err(|error| error.to_string())?;
        let chain = chain.as_str().ok_or("no text")?;
        for pod in self.mesh.gateways() {
            let path = "/config_dump?resource=dynamic_active_secrets";
            let dump = self.mesh.ask_envoy(&pod.name, path).await.ok().flatten().unwrap_or_default();
            if !dump.contains(chain) {
                return Err(format!("{} does not", pod.name));
            }
        }
        Ok(())
    }
}

/// The connection was taken and ended without a handshake; a port where nobody listens is something else.
fn is_ended(seen: &Seen) -> bool {
    matches!(seen, Seen::Nothing("reset" | "closed"))
}
