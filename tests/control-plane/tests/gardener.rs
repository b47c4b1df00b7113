//! Gardener's real controller: it starts, it issues, and its issuer can be broken and mended.

use std::time::{Duration, Instant};

use certkeeper_control_plane::{ControlPlane, Error, GardenerSettings, is_left_out};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::json;

#[tokio::test]
async fn the_real_controller_issues_a_certificate_and_notices_its_issuers_ca() -> Result<(), Error> {
    if is_left_out("the real controller issues a certificate and notices its issuer's CA") {
        return Ok(());
    }
    let plane = ControlPlane::start().await?;
    let gardener = plane.gardener(GardenerSettings::default()).await?;
    let client = plane.client()?;
    let kind = GroupVersionKind::gvk("cert.gardener.cloud", "v1alpha1", "Certificate");
    let certificates: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind));
    let wanted = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate", "metadata": {"name": "wild"},
        "spec": {
            "dnsNames": ["*.a.example.com", "a.example.com"], "duration": "10m0s",
            "secretRef": {"name": "staging", "namespace": "default"},
        },
    });
    certificates.patch("wild", &PatchParams::apply("test"), &Patch::Apply(&wanted)).await.expect("accepted");

    let deadline = Instant::now() + Duration::from_secs(60);
    let secrets: Api<Secret> = Api::default_namespaced(client);
    let secret = loop {
        if let Some(secret) = secrets.get_opt("staging").await.expect("an answer") {
            break secret;
        }
        assert!(Instant::now() < deadline, "not issued within 60 s; the controller says\n{}", gardener.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let data = secret.data.expect("data");
    assert_eq!(data.keys().collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    let text = |key: &str| String::from_utf8(data[key].0.clone()).expect("PEM");
    assert_eq!(text("ca.crt").trim(), gardener.issuer().ca().replace("\r\n", "\n").trim());
    assert!(text("tls.crt").trim().ends_with(text("ca.crt").trim()), "the chain ends with the root");

    let issuer = gardener.issuer();
    issuer.damage().await?;
    issuer.wait_for("Error").await?;
    issuer.mend().await?;
    issuer.wait_for("Ready").await?;
    issuer.remove().await?;
    issuer.wait_for("Error").await
}
