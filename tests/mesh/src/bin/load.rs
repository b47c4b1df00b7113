//! Rotations on a real mesh under load, by a bare PATCH and through certkeeper: how long until all pods serve the new
//! leaf, and what the clients saw meanwhile.

use std::{
    error::Error,
    io::{Write as _, stderr, stdout},
    process::ExitCode,
    time::Duration,
};

use certkeeper_mesh::{
    Mesh, MeshConfig,
    load::{Load, LoadConfig},
    rotate::{PATIENCE, bare, issue, kept},
};
use certkeeper_simulator::ca::Ca;
use chrono::Utc;
use tokio::time::Instant;

const USAGE: &str = "\
Usage: cargo run -p certkeeper-mesh --bin load -- [--rotations N] [--gateways N] [--debounce-ms N]

Starts a mesh of its own and rotates N times (at most 50) by a bare PATCH of the gateway's Secret, then N times (default 50) by writing
the source that certkeeper keeps, each once all pods serve the pair before; all that under a load of handshakes and
kept-alive requests on all pods (default 3). --debounce-ms: istiod's, 100 if not said.";

/// Rotations by a bare PATCH are there for comparison: so many at most.
const BARE: usize = 50;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((rotations, config)) = parse(&arguments) else {
        let _ = writeln!(stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    match measure(rotations, config).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(usize, MeshConfig)> {
    let (mut rotations, mut config) = (50, MeshConfig::default());
    for pair in arguments.chunks(2) {
        let [flag, value] = pair else { return None };
        match flag.as_str() {
            "--rotations" => rotations = value.parse().ok().filter(|count| *count > 0)?,
            "--gateways" => config.gateways = value.parse().ok().filter(|count| (1..=200).contains(count))?,
            "--debounce-ms" => config.debounce = Some(Duration::from_millis(value.parse().ok()?)),
            _ => return None,
        }
    }
    Some((rotations, config))
}

/// `true` if no handshake and no request failed and nobody saw an old leaf once all pods served the new one.
async fn measure(rotations: usize, config: MeshConfig) -> Outcome<bool> {
    let ca = Ca::root("Root", Utc::now())?.intermediate("Intermediate")?;
    let began = Instant::now();
    let first = issue(&ca)?;
    let mesh = Mesh::start(MeshConfig { pair: Some(first.clone()), ..config }).await?;
    let started = began.elapsed();
    mesh.until_all_serve(first.fingerprint(), PATIENCE).await.map_err(|seen| format!("not served: {seen:?}"))?;
    let load = Load::start(&mesh.addresses(), &LoadConfig::default());
    let bare = bare(&mesh, &load, &ca, rotations.min(BARE)).await?;
    let kept = kept(&mesh, &load, &ca, rotations).await?;
    let pods = mesh.gateways().len();
    let report = load.stop().await;
    let mut out = stdout();
    writeln!(out, "mesh of {pods} ready after {:.1} s", started.as_secs_f64())?;
    let ratio = median(&kept.served).as_secs_f64() / median(&bare.served).as_secs_f64();
    writeln!(out, "bare PATCH sent -> served by all:  {}", listed(bare.served))?;
    writeln!(out, "source written -> promoted:        {}", listed(kept.promoted))?;
    writeln!(out, "source written -> served by all:   {}, {ratio:.2} times the bare median", listed(kept.served))?;
    writeln!(out, "source written -> Served=True:     {}", listed(kept.proven))?;
    let (made, failed, stale) = (report.handshakes(), report.failed(), report.stale_handshakes);
    writeln!(out, "handshakes: {made} with {} leaves, {failed} failed, {stale} stale", report.leaves.len())?;
    if failed > 0 {
        writeln!(out, "why they failed: {:?}", report.failed_handshakes)?;
    }
    writeln!(out, "kept-alive requests: {}, {} failed", report.requests, report.failed_requests)?;
    Ok(failed + stale + report.failed_requests == 0)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn listed(mut times: Vec<Duration>) -> String {
    times.sort();
    let ms = |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    let (least, middle, most) = (&times[0], &times[times.len() / 2], &times[times.len() - 1]);
    format!("{}/{}/{} ms (min/median/max of {})", ms(least), ms(middle), ms(most), times.len())
}
