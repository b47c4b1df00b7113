//! The certificates of one control plane: a CA that lives as long as it, a serving certificate, a client each.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// OID of organizationName, where kube-apiserver reads a client certificate's groups.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// Signs what one control plane needs. Its key never leaves memory.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, both PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// A new CA, valid for a day.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut params = blank("certkeeper test control plane CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer =
            KeyPair::generate().and_then(|key| CertifiedIssuer::self_signed(params, key)).map_err(failed("the CA"))?;
        Ok(Self { issuer })
    }

    /// A CA of its own for an issuer of certificates, valid for ten years: Gardener's issuer refuses to sign what
    /// outlives its CA, and signs for half a year unless it is told otherwise.
    pub(crate) fn issuing(name: &str) -> Result<Signed, Error> {
        let mut params = blank(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_after = params.not_before + Duration::days(3650);
        let key = KeyPair::generate().map_err(failed(name))?;
        let certificate = params.self_signed(&key).map_err(failed(name))?;
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The CA's certificate as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// The API server's serving certificate, for loopback and the names that clients inside a cluster use.
    pub(crate) fn serving(&self) -> Result<Signed, Error> {
        let names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc", "kubernetes.default"];
        let mut params = CertificateParams::new(names.map(str::to_owned)).map_err(failed("the serving certificate"))?;
        dress(&mut params, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params, "the serving certificate")
    }

    /// A client certificate: the API server takes the common name as user and the organizations as groups.
    ///
    /// At most two groups: rcgen keeps one value for each kind of name, and there are two ways to write this kind.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Signed, Error> {
        if groups.len() > 2 {
            let message = format!("{} groups were asked for, at most 2 fit into a client certificate", groups.len());
            return Err(Error::Kubeconfig { user: user.to_owned(), message });
        }
        let mut params = blank(user);
        for (group, kind) in groups.iter().zip([DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())])
        {
            params.distinguished_name.push(kind, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, user)
    }

    /// The pair that signs and verifies ServiceAccount tokens, as PEM: (private, public).
    pub(crate) fn token_keys() -> Result<(String, String), Error> {
        let pair = KeyPair::generate().map_err(failed("the ServiceAccount token key"))?;
        Ok((pair.serialize_pem(), pair.public_key_pem()))
    }

    fn sign(&self, mut params: CertificateParams, what: &str) -> Result<Signed, Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(failed(what))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed(what))?;
        Ok(Signed { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn blank(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    dress(&mut params, common_name);
    params
}

/// rcgen's defaults (its own subject, valid from 1975 to 4096) are cleared; a day outlives any test.
fn dress(params: &mut CertificateParams, common_name: &str) {
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::HOUR;
    params.not_after = now + Duration::DAY;
}

fn failed(what: &str) -> impl FnOnce(rcgen::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Certificate { what, source }
}
