//! `cargo control-plane`: a real API server to try things on, until Ctrl-C.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use certkeeper_control_plane::{Binaries, ControlPlane, Error, GardenerSettings, cert_controller_manager, kubectl};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Starts a real etcd and kube-apiserver on 127.0.0.1, prints how to reach them and runs until Ctrl-C or SIGTERM.

Usage: cargo control-plane [gardener | build]

  gardener  with Gardener's cert-controller-manager and an issuer `garden`, which Certificates get that name none; it
            renews a minute before the end, so a `duration: 2m30s` is renewed every 90 s
  build     only find or build the programs (etcd, kube-apiserver, kubectl, cert-controller-manager) and print where
            they are

KUBEBUILDER_ASSETS=FOLDER names ready-made programs; else they are built once from their Go modules.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(false).await,
        ["gardener"] => run(true).await,
        ["build"] => build(),
        ["help" | "--help" | "-h"] => say(USAGE),
        _ => {
            complain(&format!("unknown arguments: {}\n\n{USAGE}", arguments.join(" ")));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Error> {
    let binaries = Binaries::find()?;
    for program in [binaries.etcd, binaries.apiserver, kubectl()?, cert_controller_manager()?.program] {
        say(&program.display().to_string())?;
    }
    Ok(())
}

async fn run(with_gardener: bool) -> Result<(), Error> {
    // Before anything is started, so that an early Ctrl-C ends it in an orderly way too.
    let signals = |kind| signal(kind).map_err(|source| Error::Spawn { program: "signal handler".to_owned(), source });
    let (mut interrupt, mut terminate) = (signals(SignalKind::interrupt())?, signals(SignalKind::terminate())?);
    let start = async {
        let plane = ControlPlane::start().await?;
        let gardener = match with_gardener {
            true => Some(plane.gardener(GardenerSettings::default()).await?),
            false => None,
        };
        Ok::<_, Error>((plane, gardener))
    };
    let (plane, _gardener) = tokio::select! {
        started = start => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    say(&format!(
        "# kube-apiserver is ready at {}; Ctrl-C ends it and removes all its files\nexport KUBECONFIG={}",
        plane.endpoint(),
        plane.kubeconfig().display()
    ))?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn say(text: &str) -> Result<(), Error> {
    let mut out = stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|source| Error::File {
        doing: "write to",
        path: "standard output".into(),
        source,
    })
}

fn complain(text: &str) {
    // With stderr closed, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "{text}");
}
