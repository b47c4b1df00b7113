//! What `certkeeper run` costs on a real API server: memory with and without thousands of foreign Secrets, and calls
//! while nothing happens.
//!
//! `cargo build --release && cargo run --release -p certkeeper-control-plane --bin measure`
//! and, for what copies cost, `… --bin measure -- copies`

mod bare;
mod copies;
mod process;

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use certkeeper_control_plane::{ControlPlane, Kubectl, Settings, Supervised, Walk};

use process::{Outcome, calls, difference, fill, megabytes, met, peak, say};

const USAGE: &str = "\
Measures `certkeeper run` against a real kube-apiserver on loopback.

Usage: cargo run --release -p certkeeper-control-plane --bin measure -- [copies] [OPTIONS]

  --certkeeper FILE  the program to measure [default: the one beside this program]
  --secrets NUMBER   foreign Secrets in the gateway's namespace [default: 5000]
  --size BYTES       size of each [default: 10000]
  --idle SECONDS     how long nothing happens [default: 300]

With `copies` (one run; what it costs to keep copies, against a bare loop of the same writes):

  --targets NUMBER   namespaces that get a copy [default: 1000]
  --listed           copies with the key, by a list of namespaces; else certificate-only, by a selector
  --rotations NUMBER rotations of certkeeper and of the bare loop, in turn [default: 5]
  --secrets NUMBER   foreign Secrets in the gateway's namespace [default: 0]

Exit code 0: all goals are met (peak RSS <= 20 MB, less than 1 MB more with the foreign Secrets, 0 idle writes);
1: one is missed; 2: could not measure.";

/// Goals, in bytes.
const PEAK_AT_MOST: u64 = 20_000_000;
const MORE_AT_MOST: u64 = 1_000_000;
/// After the first success, the status write and its echo come to rest.
const COMES_TO_REST: Duration = Duration::from_secs(10);

struct Options {
    certkeeper: PathBuf,
    secrets: usize,
    size: usize,
    idle: Duration,
    copies: bool,
    listed: bool,
    targets: usize,
    rotations: usize,
}

/// What one run cost.
struct Cost {
    /// Peak resident set in bytes: VmHWM.
    peak: u64,
    /// Requests while nothing happened, by verb.
    calls: BTreeMap<String, u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let measured = match options() {
        Ok(Some(options)) if options.copies => copies::measure(&options).await,
        Ok(Some(options)) => measure(&options).await,
        Ok(None) => say(USAGE).map(|()| true),
        Err(error) => Err(error),
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With stderr closed, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "measure: {error}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Outcome<Option<Options>> {
    let beside = std::env::current_exe()?.with_file_name("certkeeper");
    let mut arguments = std::env::args().skip(1).peekable();
    let copies = arguments.next_if_eq("copies").is_some();
    let mut options = Options {
        certkeeper: beside,
        secrets: if copies { 0 } else { 5000 },
        size: 10_000,
        idle: Duration::from_secs(300),
        copies,
        listed: false,
        targets: 1000,
        rotations: 5,
    };
    while let Some(name) = arguments.next() {
        if ["-h", "--help"].contains(&name.as_str()) {
            return Ok(None);
        }
        if copies && name == "--listed" {
            options.listed = true;
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
        match name.as_str() {
            "--certkeeper" => options.certkeeper = value.into(),
            "--secrets" => options.secrets = value.parse()?,
            "--size" => options.size = value.parse()?,
            "--targets" if copies => options.targets = value.parse()?,
            "--rotations" if copies => options.rotations = value.parse()?,
            "--idle" => options.idle = Duration::from_secs(value.parse()?),
            _ => return Err(format!("unknown argument {name}\n\n{USAGE}").into()),
        }
    }
    if !options.certkeeper.is_file() {
        let path = options.certkeeper.display();
        return Err(format!("no program {path}: `cargo build --release` builds it, --certkeeper names another").into());
    }
    Ok(Some(options))
}

async fn measure(options: &Options) -> Outcome<bool> {
    let Options { secrets, size, idle, .. } = options;
    let seconds = idle.as_secs();
    say(&format!("program: {}", options.certkeeper.display()))?;
    say(&format!("two runs of {seconds} s idle each; the second with {secrets} foreign Secrets of {size} bytes"))?;
    let bare = run(options, "bare", 0).await?;
    say(&format!("no foreign Secrets:     peak RSS {}", megabytes(bare.peak)))?;
    let full = run(options, "full", options.secrets).await?;
    let more = full.peak.saturating_sub(bare.peak);
    say(&format!("{secrets} foreign Secrets:   peak RSS {}", megabytes(full.peak)))?;
    let peak = full.peak.max(bare.peak);
    let writes = bare.writes() + full.writes();
    say("")?;
    say(&format!(
        "peak RSS    {:>9}  goal <= {}  {}",
        megabytes(peak),
        megabytes(PEAK_AT_MOST),
        met(peak <= PEAK_AT_MOST)
    ))?;
    say(&format!(
        "difference  {:>9}  goal <  {}  {}",
        megabytes(more),
        megabytes(MORE_AT_MOST),
        met(more < MORE_AT_MOST)
    ))?;
    say(&format!("idle writes {writes:>9}  goal =  0        {}", met(writes == 0)))?;
    for (name, cost) in [("without", &bare), ("with", &full)] {
        let calls: Vec<String> = cost
            .calls
            .iter()
            .map(|(verb, count)| format!("{verb} {count} ({:.0}/h)", *count as f64 * 3600.0 / seconds as f64))
            .collect();
        let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
        say(&format!("idle calls {name} foreign Secrets, {seconds} s: {calls}"))?;
    }
    Ok(peak <= PEAK_AT_MOST && more < MORE_AT_MOST && writes == 0)
}

impl Cost {
    fn writes(&self) -> u64 {
        let reads = ["get", "list", "watch"];
        self.calls.iter().filter(|(verb, _)| !reads.contains(&verb.as_str())).map(|(_, count)| count).sum()
    }
}

/// One whole run on an API server of its own: the pair is promoted, then nothing happens.
async fn run(options: &Options, name: &str, foreign: usize) -> Outcome<Cost> {
    let plane = ControlPlane::start_with(Settings { audit: true }).await?;
    let kubectl = Kubectl::new(plane.kubeconfig())?;
    let walk = Walk::new(name);
    let apply = |text: &str| kubectl.run(&["apply", "--server-side", "-f", "-"], text);
    let crds = std::process::Command::new(&options.certkeeper).arg("crds").output()?;
    apply(&String::from_utf8(crds.stdout)?)?;
    let crd = "crd/gatewaycertificates.certs.kyma-project.io";
    kubectl.run(&["wait", "--for=condition=Established", crd, "--timeout=60s"], "")?;
    apply(&walk.setting())?;
    apply(&walk.supplied(&[&format!("*.{}", walk.domain())], time::Duration::days(90))?)?;
    fill(&plane, &walk.gateway_namespace, foreign, options.size).await?;
    let began = Instant::now();
    while apply(&walk.object()).is_err() && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let kubeconfig = plane.kubeconfig_for(&walk.user, &[])?.display().to_string();
    let allow = walk.allow();
    let arguments = ["run", "--kubeconfig", &kubeconfig, "--namespace", &walk.namespace, "--allow", &allow];
    let log = plane.folder().join("certkeeper.log");
    let mut certkeeper = Supervised::start("certkeeper", &options.certkeeper, &arguments.map(str::to_owned), log)?;
    let wait = ["wait", "-n", &walk.namespace, "--for=condition=SecretCurrent", "gwcert/walk", "--timeout=60s"];
    kubectl.run(&wait, "").map_err(|error| format!("{error}\ncertkeeper's log:\n{}", certkeeper.tail()))?;
    tokio::time::sleep(COMES_TO_REST).await;
    let before = calls(&plane.audit_log(), &walk.user)?;
    tokio::time::sleep(options.idle).await;
    certkeeper.check()?;
    let after = calls(&plane.audit_log(), &walk.user)?;
    let pid = certkeeper.program_id().ok_or("certkeeper has no process id")?;
    Ok(Cost { peak: peak(pid)?, calls: difference(&before, after) })
}
