//! The reasons that conditions and events give: stable names, one place.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is, or what an event tells. Names are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The CamelCase word in the API.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means and what to do.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// The object is understood and its Secret may be written.
    Accepted,
    /// The operator did not grant this Secret: add it to `run --allow`, or name another in gateway.secretRef.
    NotPermitted,
    /// A field's value cannot be used: the message says which and why.
    InvalidSpec,
    /// Another GatewayCertificate owns this Secret, or another target names it: remove one of the two.
    Conflict,
    /// All checks passed.
    Valid,
    /// All checks passed, some warn: see status.findings.
    ValidWithWarnings,
    /// The supplied pair was refused: see the message and status.findings. The last good one stays.
    Refused,
    /// The supplied pair has errors, but nothing better is there, so it is used: supply a better one.
    NothingBetter,
    /// A person retired this pair (annotation forget): supply another.
    Retired,
    /// The supplied client CA was refused: see the message and status.findings. The last good one stays.
    ClientCaRefused,
    /// The named Secret does not exist: create it.
    SourceMissing,
    /// The Secret with the client CA does not exist: create it. The last good one stays.
    ClientCaMissing,
    /// A right is missing: grant the rule in the message.
    AccessDenied,
    /// The gateway's Secret holds the desired pair.
    Current,
    /// The gateway's Secret holds the last good pair, because the source is not usable.
    LastGoodKept,
    /// There is no usable pair at all: supply one.
    NothingToWrite,
    /// The gateway's Secret (or its -cacert) is immutable: delete it yourself; it is written again at once.
    Immutable,
    /// The Secret is being deleted and held by a finalizer: remove that finalizer; it is written again.
    BeingDeleted,
    /// Somebody else owns the Secret: see the message; for the gateway's, managementPolicy Manage takes over.
    ForeignOwner,
    /// The spec says that nothing be written but this status.
    ObserveOnly,
    /// suspend is true: nothing is written but this status.
    Suspended,
    /// A write failed and is tried again.
    WriteFailed,
    /// The API server refused what was to be written: see the message.
    WriteRejected,
    /// Gardener has issued what was asked for.
    Issued,
    /// A certificate is requested of Gardener, and waited for.
    Issuing,
    /// Gardener's issuer fails: the message has its own words, since when, and when it tries again.
    IssuerFailing,
    /// Gardener is late, and neither touching the Certificate nor asking for another helped: see the message.
    RenewalOverdue,
    /// Gardener says that the certificate is revoked: another is asked for at once.
    Revoked,
    /// The API server knows no Certificates of Gardener's: supply your own certificate in byo.secretRef, or switch Gardener's
    /// certificate management on.
    GardenerMissing,
    /// There is no domain to ask a certificate for: set spec.domain.
    DomainMissing,
    /// An ECDSA key is asked for and no cipher suite of the Gateway is for one: ask for RSA, or change the suites.
    KeyUnfit,
    /// The Certificate named in gardener.certificateRef does not exist, or does not fill the gateway's Secret.
    CertificateMissing,
    /// Nothing is requested, because nothing is written: see the message.
    NotRequested,
    /// The Certificate could not be written, and is tried again: see the message.
    RequestFailed,
    /// Gardener has not issued a certificate yet: see the condition Issued.
    NotIssued,
    /// A certificate was requested of Gardener, or the request was changed or put right.
    Requested,
    /// Gardener was late, and its Certificate was touched (annotation gardener.cloud/operation).
    Touched,
    /// Gardener was asked to renew the certificate now (ensureRenewedAfter): by a person, or because it was late.
    RenewalRequested,
    /// No handshake has been made with the gateway's pods yet, so what they serve is not proven.
    NotProbed,
    /// The gateway's Secret holds no pair: see the condition SecretCurrent.
    NothingToServe,
    /// spec.gateway.probe.enabled is false: what the gateway's pods serve is not proven.
    ProbingDisabled,
    /// Istio's Gateways are not known to the API server: install Istio, or set spec.gateway.probe.enabled to false.
    IstioMissing,
    /// No Gateway hands out this Secret: name it as credentialName in a server of the Gateway.
    NoGateway,
    /// No pod of the gateway is ready.
    NoPods,
    /// Some ready pod could not be asked, and none was seen to serve something else: see status.gateways.
    Unreachable,
    /// A new pair is in the Secret, and some pods do not serve it yet: that is waited for.
    Reloading,
    /// Some pods serve something else: see status.gateways; the message says what is done about it.
    Differs,
    /// Every ready pod was seen, by a TLS handshake, to serve the certificate.
    Served,
    /// No gateway pod took this pair up, though it was nudged: it is not tried again until the source or the Gateway
    /// changes. Supply another.
    RefusedByGateway,
    /// The last good pair was put back, because no gateway pod took up the new one.
    RolledBack,
    /// The pair was written again in other bytes, because some pod did not take it up.
    Nudged,
    /// A pod that did not take the pair up was evicted, and was seen to go.
    Evicted,
    /// A pod could not be evicted: the message says why; it is tried again.
    EvictionFailed,
    /// Some ready pod was not seen to serve the certificate: see the condition Served.
    NotServed,
    /// The Gateway is not as spec.gateway asks for (management: Manage), and cannot be written: see the message and
    /// status.findings.
    GatewayNotCurrent,
    /// Somebody else owns fields of the Gateway that is to be managed, or the Gateway: nothing is forced. The message names
    /// who and what to do.
    GatewayConflict,
    /// The source is good, the gateway's Secret current, and every ready gateway pod serves it. Copies have a condition of
    /// their own: Distributed.
    Ready,
    /// The object is not accepted: see the condition Accepted.
    NotAccepted,
    /// The source is refused or missing: see the condition SourceValid.
    SourceRefused,
    /// The gateway's Secret is not as desired: see the condition SecretCurrent.
    SecretNotCurrent,
    /// The certificate in the gateway's Secret is expired or not valid yet: supply another.
    CertificateExpired,
    /// The spec names no targets.
    NoTargets,
    /// Every copy holds the pair of the gateway's Secret.
    Distributed,
    /// Copies are being written.
    Distributing,
    /// The gateway's Secret has no pair of ours yet, so there is nothing to copy: see the condition SecretCurrent.
    NothingToDistribute,
    /// Some copies are not as they should be: see status.targets.failures.
    TargetsFailed,
    /// A listed namespace does not exist: create it, or take it off the list.
    NamespaceMissing,
    /// The chain has no CA certificate to hand on: supply the full chain, or give its root in byo.trust.roots.
    NoAuthority,
    /// A pair was put into the gateway's Secret.
    Promoted,
    /// The gateway's Secret was changed or deleted, or a copy edited, by somebody, and put right.
    Restored,
    /// Left-overs were removed from the gateway's Secret.
    CleanedUp,
    /// The gateway's Secret (or its -cacert) already held what it should and is ours now.
    Adopted,
    /// The Gateway was created, or written to say what spec.gateway asks for.
    GatewayWritten,
    /// The Gateway, or what was gone of it, was put back; or somebody's change of it was undone (managementPolicy Manage).
    GatewayRestored,
    /// CA certificates were put into the -cacert Secret.
    ClientCaPromoted,
    /// The -cacert Secret was changed or deleted by somebody, and put right.
    ClientCaRestored,
    /// spec.clientCA was removed: the -cacert Secret is no longer kept, and stays as it is.
    ClientCaReleased,
}

impl Reason {
    /// `docs/conditions.md`.
    #[must_use]
    pub fn documentation() -> String {
        let mut page = String::from(PREFACE);
        for reason in Self::ALL {
            page += &format!("| `{}` | {} |\n", reason.as_str(), reason.meaning().trim());
        }
        page
    }
}

const PREFACE: &str = "\
<!-- Generated from src/lifecycle/reason.rs by `UPDATE=1 cargo test --test generated`. Do not edit. -->
# Conditions, reasons and events

A GatewayCertificate has these conditions, each with `observedGeneration`, a stable reason and a message that says
what to do:

| condition | True means |
|---|---|
| `Accepted` | the spec is understood, and the operator granted the Secret it names |
| `SourceValid` | what people supplied passed every check: the pair and, where there is one, the client CA |
| `Issued` | in Gardener mode: Gardener has issued what was asked for, and is not late with its renewal |
| `SecretCurrent` | the gateway's Secret holds the desired pair: the supplied one or, while that is refused, the last good one; so does its `-cacert` Secret, where there is a client CA |
| `Distributed` | every copy that the targets ask for holds the pair of the gateway's Secret |
| `Served` | every ready gateway pod was seen, by a TLS handshake, to serve it |
| `Ready` | the source is good, the gateway's Secret current, and every ready gateway pod serves it; a Gateway that is managed says what the spec asks for |

Wait for them with kubectl: `kubectl wait --for=condition=SecretCurrent gwcert/NAME`.

Reasons, of conditions, history entries and events:

| reason | meaning and remedy |
|---|---|
";
