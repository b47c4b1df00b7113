//! `cargo mesh`: a real mesh to try things on, until Ctrl-C.

use std::{io::Write, process::ExitCode};

use certkeeper_mesh::{Mesh, objects::KYMA};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return ExitCode::FAILURE;
    };
    let mesh = tokio::select! {
        mesh = Mesh::start(3) => mesh,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
        _ = terminate.recv() => return ExitCode::SUCCESS,
    };
    let mesh = match mesh {
        Ok(mesh) => mesh,
        Err(error) => {
            // There is no better place to say it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let pods: Vec<String> = mesh.pods().iter().map(|(name, address)| format!("#   {name} {address}:8443")).collect();
    let text = format!(
        "# A mesh is ready: kube-apiserver, istiod and these gateway pods; Ctrl-C ends it and removes all its files\n{}\n\
         export KUBECONFIG={}\n\
         # cargo run -- crds | kubectl apply -f -        and then, with a GatewayCertificate in {KYMA}:\n\
         # cargo run -- run --namespace {KYMA}           or, to see what is served:\n\
         # cargo run -- probe --gateway {KYMA}/kyma-gateway",
        pods.join("\n"),
        mesh.plane.kubeconfig().display()
    );
    if writeln!(std::io::stdout(), "{text}").is_err() {
        return ExitCode::FAILURE;
    }
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    drop(mesh);
    ExitCode::SUCCESS
}
