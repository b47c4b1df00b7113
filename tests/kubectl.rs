//! What a person sees through a real `kubectl` against a real kube-apiserver.
//!
//! `kubectl` itself comes from `CERTKEEPER_KUBECTL`, `KUBEBUILDER_ASSETS`, PATH or its Go module.

use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

use certkeeper_control_plane::{ControlPlane, Kubectl, Supervised, Walk, shared_or_left_out};
use time::Duration as Lifetime;

type Outcome = Result<(), Box<dyn Error>>;

/// The administrator's kubectl, with the definitions of `crds/` in force.
async fn administrator(test: &str) -> Result<Option<(Kubectl, &'static ControlPlane)>, Box<dyn Error>> {
    let Some(plane) = shared_or_left_out(test).await? else { return Ok(None) };
    let kubectl = Kubectl::new(plane.kubeconfig())?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &crds.display().to_string()], "")?;
    let name = "crd/gatewaycertificates.certs.kyma-project.io";
    kubectl.run(&["wait", "--for=condition=Established", name, "--timeout=60s"], "")?;
    // Right after Established the server may still answer 404 for a moment.
    eventually("the new resource is served", || kubectl.run(&["get", "gwcert", "-A"], "").map(|_| ()))?;
    Ok(Some((kubectl, plane)))
}

/// Repeats until it works; after a minute, the last error.
fn eventually<T, E: std::fmt::Display>(what: &str, mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > deadline => return Err(format!("not within 60 s: {what}: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// A GatewayCertificate with this spec, as a person writes it.
fn object(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: certs.kyma-project.io/v1alpha1\nkind: GatewayCertificate\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn field(kubectl: &Kubectl, namespace: &str, of: &str, path: &str) -> Result<String, Box<dyn Error>> {
    let template = format!("jsonpath={path}");
    Ok(kubectl.run(&["get", "-n", namespace, of, "-o", &template], "")?)
}

/// `certkeeper run` for one walk, as a user who may do only what the walk grants.
fn certkeeper(plane: &ControlPlane, walk: &Walk) -> Result<Supervised, Box<dyn Error>> {
    let kubeconfig = plane.kubeconfig_for(&walk.user, &[])?.display().to_string();
    let allow = walk.allow();
    let arguments = ["run", "--kubeconfig", &kubeconfig, "--namespace", &walk.namespace, "--allow", &allow];
    let log = plane.folder().join(format!("{}.log", walk.user));
    let arguments = arguments.map(str::to_owned);
    Ok(Supervised::start("certkeeper", Path::new(env!("CARGO_BIN_EXE_certkeeper")), &arguments, log)?)
}

#[tokio::test]
async fn a_bad_object_is_refused_with_a_message_that_says_what_to_do() -> Outcome {
    let Some((kubectl, _)) = administrator("kubectl: a bad object is refused").await? else { return Ok(()) };
    let cases = [
        ("{mode: BYO}", "mode BYO needs byo.secretRef: name the Secret in this namespace"),
        ("{byo: {secretRef: {name: A_B}}}", "spec.byo.secretRef.name: Invalid value: \"A_B\""),
        ("{gateway: {secretRef: {name: A_B}}}", "spec.gateway.secretRef.name: Invalid value: \"A_B\""),
        ("{gateway: {secretRef: {namespace: a.b}}}", "spec.gateway.secretRef.namespace: Invalid value: \"a.b\""),
        ("{clientCA: {secretRef: {name: A_B}}}", "spec.clientCA.secretRef.name: Invalid value: \"A_B\""),
        ("{byo: {secretRef: {name: x}}, gardener: {}}", "byo.secretRef and gardener exclude each other"),
        ("{mode: Gardener, byo: {secretRef: {name: x}}}", "remove byo.secretRef, or set mode to BYO"),
        ("{domain: '*.example.com'}", "domain must be a DNS name in lower case without a leading \"*.\""),
        ("{gateway: {reload: {deadline: 30}}}", "spec.gateway.reload.deadline: Invalid value: \"integer\""),
        ("{gateway: {reload: {deadline: 30 s}}}", "spec.gateway.reload.deadline: Invalid value: \"30 s\""),
        ("{gardener: {renewBefore: 30d}}", "spec.gardener.renewBefore: Invalid value: \"30d\""),
        ("{mode: Byo}", "supported values: \"Auto\", \"BYO\", \"Gardener\""),
        ("{domain: example.com, domian: x}", "unknown field \"spec.domian\""),
    ];
    for (spec, expected) in cases {
        let (succeeded, output, errors) = kubectl.call(&["apply", "-f", "-"], &object("bad", spec))?;
        assert!(!succeeded, "{spec} was taken: {output}");
        assert!(errors.contains(expected), "{spec}: expected `{expected}` in:\n{errors}");
    }
    Ok(())
}

#[tokio::test]
async fn a_good_object_gets_its_defaults_and_both_short_and_long_names_find_it() -> Outcome {
    let Some((kubectl, _)) = administrator("kubectl: a good object gets its defaults").await? else { return Ok(()) };
    kubectl.run(&["apply", "-f", "-"], &object("good", "{byo: {secretRef: {name: x}}, domain: example.com}"))?;
    for resource in ["gwcert/good", "gatewaycertificate/good", "gatewaycertificates.certs.kyma-project.io/good"] {
        assert_eq!(field(&kubectl, "default", resource, "{.spec.mode}")?, "Auto", "{resource}");
    }
    let policy = field(&kubectl, "default", "gwcert/good", "{.spec.managementPolicy}/{.spec.deletionPolicy}")?;
    assert_eq!(policy, "IfUnowned/Retain");
    kubectl.run(&["delete", "gwcert/good", "--wait=true", "--timeout=60s"], "")?;
    Ok(())
}

#[tokio::test]
async fn the_gateways_secret_of_an_object_cannot_be_changed_added_or_taken_away() -> Outcome {
    let Some((kubectl, _)) = administrator("kubectl: the gateway's Secret of an object is fixed").await? else {
        return Ok(());
    };
    let names =
        |secret: &str| object("fixed", &format!("{{gateway: {{secretRef: {{namespace: gw, name: {secret}}}}}}}"));
    let none = || object("fixed", "{domain: example.com}");
    let cases = [
        (names("first"), names("second"), "gateway.secretRef cannot be changed"),
        (names("first"), none(), "gateway.secretRef cannot be added or removed later"),
        (none(), names("first"), "gateway.secretRef cannot be added or removed later"),
    ];
    for (before, after, expected) in cases {
        kubectl.run(&["apply", "-f", "-"], &before)?;
        let (succeeded, output, errors) = kubectl.call(&["apply", "-f", "-"], &after)?;
        assert!(!succeeded && errors.contains(expected), "expected `{expected}` in:\n{output}{errors}");
        assert!(errors.contains("create another GatewayCertificate"), "no remedy in:\n{errors}");
        kubectl.run(&["delete", "gwcert/fixed", "--wait=true", "--timeout=60s"], "")?;
    }
    Ok(())
}

#[tokio::test]
async fn explain_describes_every_field_of_the_spec() -> Outcome {
    let Some((kubectl, _)) = administrator("kubectl: explain describes every field").await? else { return Ok(()) };
    for path in ["gwcert", "gwcert.spec", "gwcert.spec.byo", "gwcert.spec.gateway", "gwcert.spec.targets"] {
        let text = kubectl.run(&["explain", path], "")?;
        assert!(!text.contains("<no description>"), "{path} has a field without a description:\n{text}");
    }
    let text = kubectl.run(&["explain", "gwcert.spec.mode"], "")?;
    assert!(text.contains("Gardener") && text.contains("BYO"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_promoted_certificate_can_be_waited_for_listed_and_described() -> Outcome {
    let Some((kubectl, plane)) = administrator("kubectl: wait, get and describe of a promoted certificate").await?
    else {
        return Ok(());
    };
    let walk = Walk::new("kubectl-walk");
    let here = walk.namespace.as_str();
    let apply = |text: &str| kubectl.run(&["apply", "--server-side", "-f", "-"], text);
    apply(&walk.setting())?;
    apply(&walk.supplied(&[&format!("*.{}", walk.domain())], Lifetime::days(90))?)?;
    let mut running = certkeeper(plane, &walk)?;
    apply(&walk.object())?;
    let wait = ["wait", "-n", here, "--for=condition=SecretCurrent", "gwcert/walk", "--timeout=60s"];
    kubectl.run(&wait, "").map_err(|error| format!("{error}\ncertkeeper's log:\n{}", running.tail()))?;

    let there = walk.gateway_namespace.as_str();
    let supplied = field(&kubectl, here, "secret/supplied", "{.data.tls\\.crt}")?;
    let served = field(&kubectl, there, "secret/gateway-certs", "{.data.tls\\.crt}")?;
    assert!(!served.is_empty() && !supplied.is_empty(), "both hold a certificate");
    assert_eq!(field(&kubectl, there, "secret/gateway-certs", "{.type}")?, "kubernetes.io/tls");

    let table = kubectl.run(&["get", "gwcert", "-n", here], "")?;
    let (heading, row) = table.split_once('\n').ok_or("a table has two lines")?;
    let columns: Vec<&str> = heading.split_whitespace().collect();
    assert_eq!(columns, ["NAME", "MODE", "DOMAIN", "READY", "SERVED", "EXPIRES", "AGE"]);
    assert!(row.contains("BYO") && row.contains(&walk.domain()), "{table}");

    let seen = eventually("an Event tells of the promotion", || {
        let text = kubectl.run(&["describe", "gwcert/walk", "-n", here], "").map_err(|error| error.to_string())?;
        if text.contains("Events:") && !text.contains("Events:  <none>") && text.contains("Promoted") {
            Ok(text)
        } else {
            Err(text)
        }
    })?;
    for word in ["Not After", "Dns Names", "Source Valid", "SecretCurrent", "SourceValid", "Observed Generation"] {
        let found = seen.contains(word) || seen.replace(' ', "").contains(&word.replace(' ', ""));
        assert!(found, "describe shows no `{word}`:\n{seen}");
    }
    assert!(!seen.contains("PRIVATE KEY"), "describe shows a private key");
    assert!(!running.tail().contains("PRIVATE KEY"), "the log shows a private key");

    running.signal("TERM")?;
    let status = running.wait(Duration::from_secs(20))?;
    assert!(status.success(), "run ended with {status} after SIGTERM:\n{}", running.tail());
    Ok(())
}

#[tokio::test]
async fn a_refused_certificate_is_explained_and_the_old_one_stays() -> Outcome {
    let Some((kubectl, plane)) = administrator("kubectl: a refused certificate is explained").await? else {
        return Ok(());
    };
    let walk = Walk::new("kubectl-refused");
    let (here, there) = (walk.namespace.as_str(), walk.gateway_namespace.as_str());
    let apply = |text: &str| kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", "-"], text);
    apply(&walk.setting())?;
    apply(&walk.supplied(&[&format!("*.{}", walk.domain())], Lifetime::days(90))?)?;
    let running = certkeeper(plane, &walk)?;
    apply(&walk.object())?;
    let wait = |condition: &str| {
        let condition = format!("--for=condition={condition}");
        let command = ["wait", "-n", here, &condition, "gwcert/walk", "--timeout=60s"];
        kubectl.run(&command, "").map_err(|error| format!("{error}\ncertkeeper's log:\n{}", running.tail()))
    };
    wait("SecretCurrent")?;
    let before = field(&kubectl, there, "secret/gateway-certs", "{.data}")?;

    apply(&walk.supplied(&["*.elsewhere.example.net"], Lifetime::days(90))?)?;
    wait("SourceValid=False")?;
    let message = field(&kubectl, here, "gwcert/walk", "{.status.conditions[?(@.type==\"SourceValid\")].message}")?;
    assert!(message.contains(&walk.domain()), "the message does not name the host that is missing: {message}");
    assert_eq!(field(&kubectl, there, "secret/gateway-certs", "{.data}")?, before, "the old pair does not stay");
    Ok(())
}
