//! The in-memory API server against the real one: the same sequences of requests, one answer.
//!
//! Compared are status codes, bodies (objects, lists, refusals with reason, message and causes) and the watch
//! events of each sequence. What cannot be equal is replaced first: uids and resourceVersions by their order,
//! times and the namespace by a word (`normal.rs`).
//!
//! `CERTKEEPER_CONFORMANCE_CASES` and `CERTKEEPER_CONFORMANCE_SEED` set how many random sequences are tried and
//! where they start; by default the same few hundred are tried at each run.

mod compare;
mod normal;
mod random;
mod scripts;
mod world;

use certkeeper_simulator::ApiServer;
use world::World;

/// Both worlds, with the definition that the sequences use; nothing if the real one is left out of this run.
async fn worlds(test: &str) -> Option<(World, World)> {
    let plane = certkeeper_control_plane::shared_or_left_out(test).await.expect("the real API server starts")?;
    let real = World::new(plane.client().expect("a client")).await;
    let simulated = World::new(ApiServer::new().client()).await;
    Some((simulated, real))
}

#[tokio::test]
async fn scripted_sequences_are_answered_alike() {
    let Some((simulated, real)) = worlds("scripted_sequences_are_answered_alike").await else { return };
    let mut differences = Vec::new();
    for (name, calls) in scripts::all() {
        differences.extend(compare::sequence(name, &calls, &simulated, &real).await);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

#[tokio::test]
async fn who_may_do_nothing_is_told_so_alike() {
    let test = "who_may_do_nothing_is_told_so_alike";
    let plane = match certkeeper_control_plane::shared_or_left_out(test).await.expect("the real API server starts") {
        Some(plane) => plane,
        None => return,
    };
    let server = ApiServer::new();
    server.set_authorizer(|_| Err(String::new()));
    let simulated = World::powerless(server.client_as("nobody"));
    let real = World::powerless(plane.client_for("nobody", &[]).await.expect("a client"));
    let differences = compare::refusals(&scripts::one_of_each(), &simulated, &real).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn random_sequences_are_answered_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let Some((simulated, real)) = runtime.block_on(worlds("random_sequences_are_answered_alike")) else { return };
    random::run(|calls| {
        let differences = runtime.block_on(compare::sequence("random", calls, &simulated, &real));
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    });
}
