//! The two kinds of things a case is made of: what somebody does, and what is to be seen then.

use crate::materials::Material;

/// One line of a case.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    Do(Change),
    See(Expected),
}

/// What somebody does to the cluster or the mesh. Each goes through [`crate::stage::Hand`] first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `tls.crt` and `tls.key`, in one write. Where certkeeper is at work, it is what people supply.
    Pair(Material),
    /// The same past certkeeper, straight into the gateway's Secret.
    Foreign(Material),
    /// The pair that is stored, with one more newline at the end of `tls.crt`.
    SameInOtherBytes,
    /// An annotation on the Secret and nothing else.
    Touch,
    /// `cert` and `key` beside the pair that is stored.
    Beside(Generic),
    /// The gateway's Secret is deleted.
    Delete,
    /// The client CA's Secret.
    ClientCa(ClientCa),
    /// `tls.mode` of the Gateway.
    Mode(&'static str),
    /// `tls.minProtocolVersion` of the Gateway.
    Floor(&'static str),
    /// istiod is killed.
    StopIstiod,
    /// istiod is started.
    StartIstiod,
    /// Every Envoy is killed and started anew in its pod; waits until all call themselves live.
    RestartAll,
    /// The first pod's Envoy is killed and started anew; nobody waits.
    RestartFirst,
    /// Waits until all Envoys call themselves live, and has their pods called ready then.
    AllReady,
    /// The first pod's Envoy stands still; its pod stays ready.
    PauseFirst,
    /// The first pod is deleted; waits until its successor is there and calls itself live.
    ReplaceFirst,
    /// The gateway's account may no longer read Secrets, and istiod is restarted: it remembers a yes for five minutes.
    Deny,
    /// It may again; restarted likewise.
    Grant,
}

/// What `cert` and `key` are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generic {
    /// A good pair of their own.
    Pair,
    /// `cert` alone, good.
    CertificateAlone,
    /// Both there, both empty.
    Empty,
}

/// What the Secret of the client CA is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCa {
    Good,
    Garbage,
    Deleted,
}

/// What is to be seen, by a handshake with every pod unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// All pods serve this leaf before long.
    Serve(Leaf),
    /// Each handshake of a second and a half with each pod shows this leaf.
    Keep(Leaf),
    /// Every Envoy counts a rejection, and so does istiod.
    Refused,
    /// No Envoy's figure of its Secrets moves, for a second and a half.
    Unnoticed,
    /// Every pod takes the connection and ends it without a handshake.
    Nothing,
    /// The first pod serves nothing, the others serve this leaf.
    FirstNothingOthers(Leaf),
    /// All Envoys call themselves live.
    Live,
    /// All pods ask for a client's certificate before long.
    AskClients,
    /// TLS 1.2 handshakes succeed, or not.
    Tls12(bool),
    /// Envoy's `config_dump` shows the pair that is stored, whatever is served.
    DumpShowsStored,
    /// Who asks for another name, or for none, gets nothing.
    OtherNamesGetNothing,
    /// Before long the gateway's Secret holds this leaf in `tls.crt`, and neither `cert` nor `key`.
    Stored(Leaf),
    /// certkeeper says so.
    Says(Told),
}

/// What certkeeper tells; only where it is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Before long `Served` says that all pods serve this leaf.
    Proven(Leaf),
    /// Before long a condition has this status and reason.
    Condition(&'static str, &'static str, &'static str),
    /// The history has so many entries of this reason.
    Times(&'static str, usize),
    /// No pod was evicted since the case began.
    NobodyEvicted,
}

/// Which leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// The one that was served when the case began.
    Old,
    /// The one that was written last.
    New,
    /// The one of `cert`.
    Generic,
}
