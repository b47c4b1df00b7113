//! The objects of a walk through the whole path: namespaces, rights, a supplied pair, a GatewayCertificate.
//!
//! As JSON text for `kubectl apply --server-side -f -`, so that a walk needs nothing but a kubeconfig and a program.

use rcgen::{CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// The names of one walk. Walks of different names do not meet.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Namespace of the GatewayCertificate and of the supplied pair.
    pub namespace: String,
    /// Namespace of the gateway's Secret.
    pub gateway_namespace: String,
    /// The user as which `certkeeper run` runs, with no right but those of [`Walk::setting`].
    pub user: String,
}

impl Walk {
    /// Name of the GatewayCertificate.
    pub const OBJECT: &str = "walk";
    /// Name of the supplied Secret.
    pub const SOURCE: &str = "supplied";
    /// Name of the gateway's Secret.
    pub const GATEWAY_SECRET: &str = "gateway-certs";

    /// A walk in namespaces that begin with `name`.
    pub fn new(name: &str) -> Self {
        Self {
            namespace: name.to_owned(),
            gateway_namespace: format!("{name}-gateway"),
            user: format!("certkeeper-{name}"),
        }
    }

    /// What `run --allow` grants: the gateway's Secret.
    pub fn allow(&self) -> String {
        format!("{}/{}", self.gateway_namespace, Self::GATEWAY_SECRET)
    }

    /// The domain whose hosts the pair covers.
    pub fn domain(&self) -> String {
        format!("{}.example.com", self.namespace)
    }

    /// Both namespaces, with the Roles of `docs/permissions.md` and a binding for [`Walk::user`].
    pub fn setting(&self) -> String {
        let (here, there) = (self.namespace.as_str(), self.gateway_namespace.as_str());
        let keep_sake = format!("{}-last-good", Self::GATEWAY_SECRET);
        let own = json!([
            rule("certs.kyma-project.io", "gatewaycertificates", &[], &["get", "list", "watch", "patch"]),
            rule("certs.kyma-project.io", "gatewaycertificates/status", &[], &["update"]),
            rule("events.k8s.io", "events", &[], &["create"]),
            rule("", "secrets", &[Self::SOURCE], &["get", "list", "watch"]),
        ]);
        // An apply that creates needs the verb `create`, and only an apply can be bounded by a name.
        let keep = ["get", "list", "watch", "create", "patch", "update"];
        let gateway = json!([
            rule("", "secrets", &[Self::GATEWAY_SECRET, &keep_sake], &keep),
            rule("", "secrets", &[&keep_sake], &["delete"]),
        ]);
        let items: Vec<Value> = [here, there]
            .iter()
            .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
            .chain(self.role(here, &own))
            .chain(self.role(there, &gateway))
            .collect();
        list(&items)
    }

    /// The supplied Secret, holding a new pair for `hosts` that is valid from an hour ago until `lasts` from now.
    ///
    /// # Errors
    /// [`Error::Certificate`] if the pair cannot be made.
    pub fn supplied(&self, hosts: &[&str], lasts: Duration) -> Result<String, Error> {
        let pair = pair(hosts, lasts).map_err(|source| Error::Certificate { what: hosts.join(", "), source })?;
        Ok(self.secret(&pair.certificate, &pair.key))
    }

    /// The supplied Secret with these two texts in it.
    pub fn secret(&self, certificate: &str, key: &str) -> String {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": Self::SOURCE, "namespace": self.namespace },
            "stringData": { "tls.crt": certificate, "tls.key": key },
        });
        secret.to_string()
    }

    /// The GatewayCertificate of the walk.
    pub fn object(&self) -> String {
        let object = json!({
            "apiVersion": "certs.kyma-project.io/v1alpha1", "kind": "GatewayCertificate",
            "metadata": { "name": Self::OBJECT, "namespace": self.namespace },
            "spec": {
                "domain": self.domain(),
                "byo": { "secretRef": { "name": Self::SOURCE }},
                "gateway": { "secretRef": { "namespace": self.gateway_namespace, "name": Self::GATEWAY_SECRET }},
            },
        });
        object.to_string()
    }

    fn role(&self, namespace: &str, rules: &Value) -> [Value; 2] {
        let metadata = json!({ "name": "certkeeper", "namespace": namespace });
        let group = "rbac.authorization.k8s.io";
        [
            json!({ "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": rules }),
            json!({
                "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
                "roleRef": { "apiGroup": group, "kind": "Role", "name": "certkeeper" },
                "subjects": [{ "apiGroup": group, "kind": "User", "name": self.user }],
            }),
        ]
    }
}

fn rule(group: &str, resource: &str, names: &[&str], verbs: &[&str]) -> Value {
    let mut rule = json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

struct Pair {
    certificate: String,
    key: String,
}

/// A leaf for `hosts` and the CA that signed it, as a public CA would have made the leaf.
fn pair(hosts: &[&str], lasts: Duration) -> Result<Pair, rcgen::Error> {
    let now = OffsetDateTime::now_utc();
    let mut ca = CertificateParams::default();
    ca.distinguished_name = rcgen::DistinguishedName::new();
    ca.distinguished_name.push(DnType::CommonName, "certkeeper walk CA");
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (ca.not_before, ca.not_after) = (now - Duration::DAY, now + Duration::days(3650));
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let mut leaf = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, hosts.first().copied().unwrap_or_default());
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (leaf.not_before, leaf.not_after) = (now - Duration::HOUR, now + lasts);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &ca)?;
    Ok(Pair { certificate: certificate.pem() + &ca.pem(), key: key.serialize_pem() })
}
