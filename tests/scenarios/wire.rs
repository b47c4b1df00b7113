//! What pods do on the wire that their Gateway does not ask for.

use serde_json::{Value, json};

use crate::{
    pki::{self, Ca},
    scenarios,
    serving::serving,
    world::World,
};

scenarios!(a_policy_that_is_not_on_the_wire_is_a_finding_until_it_is);

async fn a_policy_that_is_not_on_the_wire_is_a_finding_until_it_is(world: World) {
    let (world, mesh) = world.with_gateway(&["a"]).await;
    let keeper = serving(&world, &Ca::new().issue(&[pki::WILDCARD]), json!({})).await;
    let found = |wanted: bool| {
        let world = &world;
        async move {
            world
                .eventually(&format!("policy findings: {wanted}"), || async {
                    let findings = world.status("x").await.findings;
                    let old = findings.iter().find(|one| one.check == "policy-old-version");
                    if let Some(old) = old {
                        let place = format!("Gateway {0}/gw, server https, pod {0}/a: TLS 1.2", world.mesh);
                        assert_eq!((old.location.as_str(), old.severity.as_str()), (place.as_str(), "error"));
                        assert!(findings.iter().any(|one| one.check == "policy-stuck"), "its remedy is named");
                    }
                    (old.is_some() == wanted).then_some(())
                })
                .await;
        }
    };
    // As after an edit that Envoy refused: the pods go on with the former settings.
    let set = async |least: Value| {
        let tls = json!({"mode": "SIMPLE", "credentialName": "gw-certs", "minProtocolVersion": least});
        let port = json!({"number": 443, "name": "https", "protocol": "HTTPS"});
        let server = json!({"port": port, "hosts": [pki::WILDCARD], "tls": tls});
        mesh.patch_gateway(json!({"spec": {"servers": [server]}})).await.expect("patched");
    };
    set(json!("TLSV1_3")).await;
    found(true).await;
    world.condition("x", "Ready", "True", "Ready").await;
    drop(keeper);
    let _keeper = world.keeper();
    world.is_silent().await;
    found(true).await;
    set(json!("TLSV1_2")).await;
    found(false).await;
    world.condition("x", "Ready", "True", "Ready").await;
}
