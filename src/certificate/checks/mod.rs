//! The rules: one named check, one function, one row in [`TABLE`]. Checks see parsed facts, never bytes.

mod chain;
mod container;
mod document;
mod key;
mod leaf;
mod names;
mod profile;
mod revocation;
mod time;

pub use document::documentation;

use super::{Check, Context, Facts, facts::CertificateFacts, path::Path};

/// What a check looks at.
pub(super) struct Subject<'a> {
    pub(super) facts: &'a Facts,
    pub(super) context: &'a Context<'a>,
    /// The path from the leaf upwards that is judged; empty if there is no certificate.
    pub(super) path: &'a Path<'a>,
}

impl Subject<'_> {
    fn leaf(&self) -> Option<&CertificateFacts> {
        self.facts.leaf()
    }
}

/// What a check found; the row gives it name and severity.
pub(super) struct Found {
    pub(super) location: String,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Found {
    fn new(location: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { location: location.into(), message: message.into(), remedy: remedy.into() }
    }

    /// On one certificate.
    fn on(certificate: &CertificateFacts, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(certificate.location(), message, remedy)
    }
}

/// What an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The supplied files and the leaf: the same on every path.
    Supply,
    /// The path that is judged.
    Path,
}

/// A row of the table.
pub(super) struct Row {
    pub(super) check: &'static Check,
    pub(super) run: fn(&Subject<'_>) -> Vec<Found>,
    pub(super) scope: Scope,
    /// An error where the rules are taken to the letter ([`Context::strict`]).
    pub(super) strict: bool,
}

const fn supply(check: &'static Check, run: fn(&Subject<'_>) -> Vec<Found>) -> Row {
    Row { check, run, scope: Scope::Supply, strict: false }
}

const fn path(check: &'static Check, run: fn(&Subject<'_>) -> Vec<Found>) -> Row {
    Row { check, run, scope: Scope::Path, strict: false }
}

const fn letter(row: Row) -> Row {
    Row { strict: true, ..row }
}

/// All checks, in the order in which a person would go through them.
pub(super) static TABLE: &[Row] = &[
    // The container.
    supply(&container::CERTIFICATE_MISSING, container::certificate_missing),
    supply(&container::KEY_MISSING, container::key_missing),
    supply(&container::INPUT_TOO_LARGE, container::input_too_large),
    supply(&container::NOT_PEM, container::not_pem),
    supply(&container::BLOCK_MALFORMED, container::block_malformed),
    supply(&container::CERTIFICATE_MALFORMED, container::certificate_malformed),
    supply(&container::TOO_MANY_CERTIFICATES, container::too_many_certificates),
    supply(&container::SEVERAL_KEYS, container::several_keys),
    supply(&container::KEY_IN_CERTIFICATE_FILE, container::key_in_certificate_file),
    supply(&container::CERTIFICATE_IN_KEY_FILE, container::certificate_in_key_file),
    supply(&container::UNKNOWN_BLOCK, container::unknown_block),
    supply(&container::ESCAPED_NEWLINES, container::escaped_newlines),
    supply(&container::BASE64_WRAPPING, container::base64_wrapping),
    supply(&container::BYTE_ORDER_MARK, container::byte_order_mark),
    supply(&container::LINE_ENDINGS, container::line_endings),
    supply(&container::TEXT_OUTSIDE_BLOCKS, container::text_outside_blocks),
    supply(&container::DUPLICATE_CERTIFICATE, container::duplicate_certificate),
    // The key.
    supply(&key::KEY_ENCRYPTED, key::key_encrypted),
    supply(&key::KEY_MALFORMED, key::key_malformed),
    supply(&key::PAIR_MISMATCH, key::pair_mismatch),
    supply(&key::KEY_TYPE, key::key_type),
    supply(&key::RSA_SIZE, key::rsa_size),
    supply(&key::RSA_EXPONENT, key::rsa_exponent),
    supply(&key::RSA_EXPONENT_SMALL, key::rsa_exponent_small),
    supply(&key::CURVE_SUPPORT, key::curve_support),
    supply(&key::CIPHER_SUITES, key::cipher_suites),
    // The time.
    path(&time::EXPIRED, time::expired),
    path(&time::NOT_YET_VALID, time::not_yet_valid),
    path(&time::EXPIRES_SOON, time::expires_soon),
    path(&time::SPARE_EXPIRED, time::spare_expired),
    supply(&time::LIFETIME, time::lifetime),
    // The hosts and the names.
    supply(&names::HOSTS, names::hosts),
    supply(&names::SAN_MISSING, names::san_missing),
    supply(&names::SAN_IP_AS_DNS, names::san_ip_as_dns),
    supply(&names::SAN_WILDCARD, names::san_wildcard),
    supply(&names::SAN_SYNTAX, names::san_syntax),
    supply(&names::SAN_PUNYCODE, names::san_punycode),
    letter(supply(&names::SAN_UNDERSCORE, names::san_underscore)),
    letter(supply(&names::WILDCARD_PUBLIC_SUFFIX, names::wildcard_public_suffix)),
    letter(supply(&names::COMMON_NAME, names::common_name)),
    letter(supply(&names::SAN_CRITICAL, names::san_critical)),
    supply(&names::MANY_NAMES, names::many_names),
    // The leaf.
    supply(&leaf::LEAF_IS_CA, leaf::leaf_is_ca),
    supply(&leaf::LEAF_SIGNS, leaf::leaf_signs),
    supply(&leaf::PURPOSE, leaf::purpose),
    letter(supply(&leaf::PURPOSE_UNSTATED, leaf::purpose_unstated)),
    supply(&leaf::DIGITAL_SIGNATURE, leaf::digital_signature),
    supply(&leaf::PRECERTIFICATE, leaf::precertificate),
    supply(&leaf::MUST_STAPLE, leaf::must_staple),
    supply(&leaf::STAPLE, leaf::staple),
    // Every certificate of the path.
    path(&profile::CRITICAL_EXTENSION, profile::critical_extension),
    path(&profile::MALFORMED_EXTENSION, profile::malformed_extension),
    path(&profile::DUPLICATE_EXTENSION, profile::duplicate_extension),
    path(&profile::VERSION, profile::version),
    path(&profile::SERIAL_NEGATIVE, profile::serial_negative),
    path(&profile::SIGNATURE_ALGORITHM, profile::signature_algorithm),
    letter(path(&profile::SERIAL_UNUSUAL, profile::serial_unusual)),
    letter(path(&profile::ISSUER_EMPTY, profile::issuer_empty)),
    letter(path(&profile::DATES, profile::dates)),
    letter(path(&profile::CRITICALITY, profile::criticality)),
    letter(path(&profile::KEY_IDENTIFIERS, profile::key_identifiers)),
    letter(path(&profile::CA_PROFILE, profile::ca_profile)),
    letter(path(&profile::END_ENTITY_PROFILE, profile::end_entity_profile)),
    letter(path(&profile::ROOT_PROFILE, profile::root_profile)),
    // The chain.
    supply(&chain::CHAIN_ORDER, chain::chain_order),
    supply(&chain::UNRELATED_CERTIFICATE, chain::unrelated_certificate),
    supply(&chain::ROOT_INCLUDED, chain::root_included),
    supply(&chain::SELF_SIGNED, chain::self_signed),
    path(&chain::PATH_TO_ROOT, chain::path_to_root),
    path(&chain::MISSING_INTERMEDIATE, chain::missing_intermediate),
    path(&chain::LEAF_ALONE, chain::leaf_alone),
    path(&chain::BAD_SIGNATURE, chain::bad_signature),
    path(&chain::ISSUER_NOT_CA, chain::issuer_not_ca),
    path(&chain::ISSUER_KEY_USAGE, chain::issuer_key_usage),
    path(&chain::ISSUER_PURPOSE, chain::issuer_purpose),
    path(&chain::PATH_LENGTH, chain::path_length),
    path(&chain::NAME_CONSTRAINTS, chain::name_constraints),
    letter(path(&chain::NAME_CONSTRAINTS_SYNTAX, chain::name_constraints_syntax)),
    path(&chain::WEAK_SIGNATURE, chain::weak_signature),
    path(&chain::WEAK_ISSUER_KEY, chain::weak_issuer_key),
    supply(&chain::SECOND_OPINION, chain::second_opinion),
    // Revocation.
    path(&revocation::REVOKED, revocation::revoked),
    letter(path(&revocation::REVOCATION_LIST, revocation::revocation_list)),
];

/// All checks, in the order in which they run.
#[must_use]
pub fn checks() -> &'static [&'static Check] {
    static CHECKS: std::sync::LazyLock<Vec<&'static Check>> =
        std::sync::LazyLock::new(|| TABLE.iter().map(|row| row.check).collect());
    &CHECKS
}

#[cfg(test)]
mod tests;
