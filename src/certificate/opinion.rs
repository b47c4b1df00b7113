//! A second opinion on paths: what rustls' own verifier says. It shares no code with [`super::path`].

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{Context, Facts, Purpose};

/// Why rustls would not accept the leaf under these roots; `None` if it would, or if there is nothing to ask.
pub(super) fn refusal(facts: &Facts, context: &Context<'_>) -> Option<String> {
    let (roots, (leaf, rest)) = (context.roots?, facts.chain().split_first()?);
    let der = |certificate: &super::CertificateFacts| CertificateDer::from(certificate.der.0.to_vec());
    let roots: Vec<CertificateDer<'_>> = roots.certificates().iter().map(der).collect();
    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let intermediates: Vec<_> = rest.iter().map(der).collect();
    let now = u64::try_from(context.now.timestamp()).unwrap_or(0);
    let usage = match context.purpose {
        Purpose::Server => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };
    let leaf = der(leaf);
    let verified = EndEntityCert::try_from(&leaf).and_then(|leaf| {
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
        leaf.verify_for_usage(ALL_VERIFICATION_ALGS, &anchors, &intermediates, time, usage, None, None).map(|_| ())
    });
    verified.err().map(|error| error.to_string())
}
