//! Is a delivery genuine? Pure: the raw bytes, the secret and the time go in, yes or a reason comes out.
//!
//! Fails closed: a secret that is empty or not set, a header that is missing, a time that cannot be read refuse the delivery.
//! Exactly one way of proof applies to a system, the first of its manifest whose `if` holds; there is no falling back to a
//! weaker one. Everything secret is compared in constant time.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value as Json};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use crate::connector::Hook;
use crate::manifest::{Basic, Context, Encoding, Hash, SecretEncoding, SignedAt, Source, Template, Verify};
use crate::model::UnixMillis;

/// A delivery as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// `POST`, mostly.
    pub method: &'a str,
    /// The address as the sender knows it, from the configured public address; never from the Host header.
    pub url: Option<&'a str>,
    /// What stands behind `?`, without it.
    pub query: &'a str,
    /// The secret part of the path.
    pub path_secret: Option<&'a str>,
    /// Headers by their name in small letters.
    pub headers: &'a Map<String, Json>,
    /// The raw body.
    pub body: &'a [u8],
}

/// Why a delivery is refused. The sender hears none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It carries no proof, or one that cannot be read.
    Unsigned,
    /// The proof is wrong.
    Wrong,
    /// It was signed too long ago, or in the future.
    Stale,
    /// Our secret is not set: nothing could be proven.
    NoSecret,
    /// The public address is not configured, but it is part of what is signed.
    NoPublicUrl,
}

impl Refusal {
    /// The word in figures and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
            Self::NoSecret => "no_secret",
            Self::NoPublicUrl => "no_public_url",
        }
    }
}

const INDIFFERENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, INDIFFERENT);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, INDIFFERENT);

/// The address to tell a tool: with the secret behind it where that is the proof. `None` when that is not set.
#[must_use]
pub fn address(hook: &Hook, plain: &str) -> Option<String> {
    let names = hook.names();
    let applies = |verify: &&Verify| verify.condition.as_ref().is_none_or(|condition| condition.holds(names));
    match hook.webhook.verify.iter().find(applies)?.path_secret.as_ref() {
        None => Some(plain.to_owned()),
        Some(secret) => {
            let secret = rendered(secret, names).ok()?;
            let secret = percent_encoding::utf8_percent_encode(&secret, percent_encoding::NON_ALPHANUMERIC);
            Some(format!("{plain}/{secret}"))
        }
    }
}

/// What is missing on our side, so that no delivery at all could be proven.
#[must_use]
pub fn unprovable(hook: &Hook, public_url: Option<&str>) -> Option<Refusal> {
    let names = hook.names();
    let applies = |verify: &&Verify| verify.condition.as_ref().is_none_or(|condition| condition.holds(names));
    let Some(verify) = hook.webhook.verify.iter().find(applies) else {
        return Some(Refusal::NoSecret);
    };
    let fixed = [&verify.header, &verify.query, &verify.body];
    let mut secrets = verify
        .path_secret
        .iter()
        .chain(verify.basic.iter().map(|basic| &basic.password));
    let lacks_key = !verify.key.is_empty() && keys(verify, names).is_err();
    let lacks_secret = secrets.any(|secret| rendered(secret, names).is_err())
        || fixed
            .into_iter()
            .flat_map(BTreeMap::values)
            .any(|secret| rendered(secret, names).is_err());
    if lacks_key || lacks_secret {
        return Some(Refusal::NoSecret);
    }
    let over = verify.over.iter().flat_map(Template::names);
    let signs_url = over.into_iter().any(|name| name == "url");
    (signs_url && public_url.is_none()).then_some(Refusal::NoPublicUrl)
}

/// Proves a delivery.
///
/// # Errors
/// Why it is not genuine.
pub fn verify(hook: &Hook, delivery: &Delivery<'_>, now: UnixMillis) -> Result<(), Refusal> {
    let names = hook.names();
    let applies = |verify: &&Verify| verify.condition.as_ref().is_none_or(|condition| condition.holds(names));
    let verify = hook.webhook.verify.iter().find(applies).ok_or(Refusal::NoSecret)?;
    if verify.hmac.is_some() || verify.hash.is_some() {
        return signed(verify, delivery, names, now);
    }
    if let Some(source) = &verify.jwt {
        return token(source, verify, delivery, names, now);
    }
    if let Some(secret) = &verify.path_secret {
        let secret = rendered(secret, names)?;
        return same(delivery.path_secret.ok_or(Refusal::Unsigned)?, &secret);
    }
    if let Some(expected) = &verify.basic {
        return basic(expected, delivery, names);
    }
    fixed(verify, hook, delivery, names)
}

/// A signature over parts of the request.
fn signed(verify: &Verify, delivery: &Delivery<'_>, names: &Context, now: UnixMillis) -> Result<(), Refusal> {
    let keys = if verify.hmac.is_some() {
        keys(verify, names)?
    } else {
        Vec::new()
    };
    let parts = parts(verify, delivery)?;
    if let Some(time) = &verify.time {
        in_time(time, delivery, &parts, now)?;
    }
    let text = what_is_signed(verify, delivery, &parts, names)?;
    let given = verify
        .equals
        .as_ref()
        .map(|source| values(source, delivery, &parts))
        .unwrap_or_default();
    if given.is_empty() {
        return Err(Refusal::Unsigned);
    }
    let fits = |given: &&str| {
        let digits = given.strip_prefix(verify.prefix.as_str());
        let Some(tag) = digits.and_then(|digits| decoded(verify.encoding, digits)) else {
            return false;
        };
        match (verify.hmac, verify.hash) {
            (Some(hash), _) => keys.iter().any(|key| is_tag(hash, key, &text, &tag)),
            (None, Some(hash)) => same_bytes(&digest(hash, &text), &tag),
            (None, None) => false,
        }
    };
    if given.iter().any(fits) {
        Ok(())
    } else {
        Err(Refusal::Wrong)
    }
}

fn what_is_signed(
    verify: &Verify,
    delivery: &Delivery<'_>,
    parts: &[(&str, &str)],
    names: &Context,
) -> Result<Vec<u8>, Refusal> {
    let over = verify.over.as_ref().ok_or(Refusal::Unsigned)?;
    let used = over.used();
    let uses = |name: &str| {
        used.iter()
            .any(|used| used == name || used.split('.').next() == Some(name))
    };
    if uses("url") && delivery.url.is_none() {
        return Err(Refusal::NoPublicUrl);
    }
    // A plain hash proves something only when a secret that is set is part of it.
    let has_secret = || used.iter().any(|name| name.starts_with("config.")) && are_set(over, names);
    if verify.hash.is_some() && !has_secret() {
        return Err(Refusal::NoSecret);
    }
    let mut first = Map::new();
    for (name, value) in parts {
        first.entry(*name).or_insert_with(|| Json::from(*value));
    }
    let mut names = names.clone().with("sig", &Json::Object(first));
    if uses("method") {
        names.set("method", &delivery.method.into());
    }
    if uses("headers") {
        names.set("headers", &Json::Object(delivery.headers.clone()));
    }
    if let Some(url) = delivery.url.filter(|_| uses("url")) {
        names.set("url", &url.into());
    }
    if uses("params") {
        names.set("params", &sorted_params(delivery.body).into());
    }
    names.set_bytes("body", delivery.body);
    over.render_bytes(&names).map_err(|_error| Refusal::Unsigned)
}

/// True when every setting that an expression uses has a value: an empty secret proves nothing, whatever is around it.
fn are_set(template: &Template, names: &Context) -> bool {
    template.used().iter().all(|name| match name.strip_prefix("config.") {
        Some(setting) => names.is_set("config", setting.split('.').next().unwrap_or_default()),
        None => true,
    })
}

/// Names and values of a form, sorted by name and put together.
fn sorted_params(body: &[u8]) -> String {
    let mut params: Vec<_> = url::form_urlencoded::parse(body).into_owned().collect();
    params.sort();
    params.into_iter().map(|(name, value)| name + &value).collect()
}

/// The parts of a header such as `t=1,v1=abc`, in their order.
fn parts<'a>(verify: &Verify, delivery: &Delivery<'a>) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let Some(split) = &verify.sig else {
        return Ok(Vec::new());
    };
    let Source::Header(name) = &split.from else {
        return Err(Refusal::Unsigned);
    };
    let header = header(delivery, name).ok_or(Refusal::Unsigned)?;
    let (between, within) = &split.split;
    let parts = header.split(between.as_str()).filter_map(|part| {
        let (name, value) = part.trim().split_once(within.as_str())?;
        Some((name.trim(), value.trim()))
    });
    Ok(parts.collect())
}

fn values<'a>(source: &Source, delivery: &Delivery<'a>, parts: &[(&'a str, &'a str)]) -> Vec<&'a str> {
    match source {
        Source::Header(name) => header(delivery, name).into_iter().collect(),
        Source::Signature(wanted) => parts
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
            .collect(),
    }
}

fn in_time(time: &SignedAt, delivery: &Delivery<'_>, parts: &[(&str, &str)], now: UnixMillis) -> Result<(), Refusal> {
    let given = values(&time.from, delivery, parts);
    let text = given.first().ok_or(Refusal::Unsigned)?;
    let at = time.read(text).ok_or(Refusal::Unsigned)?;
    let age = u128::from(now.0.abs_diff(at.0));
    if age > time.max_age.0.as_millis() {
        Err(Refusal::Stale)
    } else {
        Ok(())
    }
}

fn header<'a>(delivery: &Delivery<'a>, name: &str) -> Option<&'a str> {
    delivery
        .headers
        .get(name)
        .and_then(Json::as_str)
        .filter(|value| !value.is_empty())
}

/// A secret of ours; an empty one is none.
fn rendered(template: &Template, names: &Context) -> Result<String, Refusal> {
    let text = template.render_text(names).map_err(|_error| Refusal::NoSecret)?;
    if text.trim().is_empty() || !are_set(template, names) {
        return Err(Refusal::NoSecret);
    }
    Ok(text)
}

fn keys(verify: &Verify, names: &Context) -> Result<Vec<Vec<u8>>, Refusal> {
    let keys: Vec<Vec<u8>> = verify
        .key
        .iter()
        .filter_map(|key| rendered(key, names).ok())
        .filter_map(|key| match verify.key_encoding {
            SecretEncoding::Text => Some(key.into_bytes()),
            SecretEncoding::Hex => unhex(&key),
            SecretEncoding::Base64 => STANDARD.decode(key.trim()).ok(),
        })
        .filter(|key| !key.is_empty())
        .collect();
    if keys.is_empty() {
        Err(Refusal::NoSecret)
    } else {
        Ok(keys)
    }
}

fn decoded(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => unhex(text),
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Base64url => FOR_URLS.decode(text).ok(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.trim().as_bytes().chunks(2);
    let byte = |pair: &[u8]| (pair.len() == 2).then(|| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())?;
    pairs.map(byte).collect()
}

fn is_tag(hash: Hash, key: &[u8], text: &[u8], tag: &[u8]) -> bool {
    match hash {
        Hash::Sha256 => {
            Hmac::<Sha256>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(text).verify_slice(tag).is_ok())
        }
        Hash::Sha512 => {
            Hmac::<Sha512>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(text).verify_slice(tag).is_ok())
        }
        Hash::Sha1 => {
            Hmac::<Sha1>::new_from_slice(key).is_ok_and(|mac| mac.chain_update(text).verify_slice(tag).is_ok())
        }
    }
}

fn digest(hash: Hash, text: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => Sha256::digest(text).to_vec(),
        Hash::Sha512 => Sha512::digest(text).to_vec(),
        Hash::Sha1 => Sha1::digest(text).to_vec(),
    }
}

/// Equal bytes, in a time that does not tell how much of them is equal.
fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    let tag = |bytes: &[u8]| Hmac::<Sha256>::new_from_slice(b"nivel").map(|mac| mac.chain_update(bytes));
    match (tag(left), tag(right)) {
        (Ok(left), Ok(right)) => left.verify_slice(&right.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

fn same(given: &str, secret: &str) -> Result<(), Refusal> {
    if same_bytes(given.as_bytes(), secret.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::Wrong)
    }
}

fn basic(expected: &Basic, delivery: &Delivery<'_>, names: &Context) -> Result<(), Refusal> {
    let password = rendered(&expected.password, names)?;
    let user = expected.user.render_text(names).map_err(|_error| Refusal::NoSecret)?;
    let (scheme, given) = header(delivery, "authorization")
        .and_then(|value| value.split_once(' '))
        .ok_or(Refusal::Unsigned)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Unsigned);
    }
    let given = STANDARD.decode(given.trim()).map_err(|_error| Refusal::Unsigned)?;
    if same_bytes(&given, format!("{user}:{password}").as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::Wrong)
    }
}

/// Headers, parameters or members of the body with fixed values; all of them must be right.
fn fixed(verify: &Verify, hook: &Hook, delivery: &Delivery<'_>, names: &Context) -> Result<(), Refusal> {
    let mut proofs = 0;
    for (name, secret) in &verify.header {
        let secret = rendered(secret, names)?;
        same(header(delivery, name).ok_or(Refusal::Unsigned)?, &secret)?;
        proofs += 1;
    }
    if !verify.query.is_empty() {
        let given: BTreeMap<_, _> = url::form_urlencoded::parse(delivery.query.as_bytes())
            .into_owned()
            .collect();
        for (name, secret) in &verify.query {
            let secret = rendered(secret, names)?;
            same(given.get(name.as_str()).ok_or(Refusal::Unsigned)?, &secret)?;
            proofs += 1;
        }
    }
    if !verify.body.is_empty() {
        let whole = hook
            .webhook
            .events
            .whole(delivery.body)
            .map_err(|_error| Refusal::Unsigned)?;
        for (name, secret) in &verify.body {
            let secret = rendered(secret, names)?;
            same(
                whole
                    .get(name.as_str())
                    .and_then(Json::as_str)
                    .ok_or(Refusal::Unsigned)?,
                &secret,
            )?;
            proofs += 1;
        }
    }
    if proofs > 0 { Ok(()) } else { Err(Refusal::NoSecret) }
}

/// A token signed with HS256 (RFC 7515, 7519); any other algorithm, and none, is refused.
fn token(
    source: &Source,
    verify: &Verify,
    delivery: &Delivery<'_>,
    names: &Context,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let keys = keys(verify, names)?;
    let given = values(source, delivery, &[]);
    let given = given.first().ok_or(Refusal::Unsigned)?;
    let token = given.split_once(' ').map_or(*given, |(_, token)| token.trim());
    let (signed, tag) = token.rsplit_once('.').ok_or(Refusal::Unsigned)?;
    let (head, claims) = signed.split_once('.').ok_or(Refusal::Unsigned)?;
    let read = |part: &str| {
        let bytes = FOR_URLS.decode(part).map_err(|_error| Refusal::Unsigned)?;
        serde_json::from_slice::<Map<String, Json>>(&bytes).map_err(|_error| Refusal::Unsigned)
    };
    if read(head)?.get("alg").and_then(Json::as_str) != Some("HS256") {
        return Err(Refusal::Wrong);
    }
    let tag = FOR_URLS.decode(tag).map_err(|_error| Refusal::Unsigned)?;
    if !keys
        .iter()
        .any(|key| is_tag(Hash::Sha256, key, signed.as_bytes(), &tag))
    {
        return Err(Refusal::Wrong);
    }
    let claims = read(claims)?;
    let ends = claims.get("exp").and_then(Json::as_i64).ok_or(Refusal::Stale)?;
    let begins = claims.get("nbf").and_then(Json::as_i64).unwrap_or_default();
    let second = now.0.div_euclid(1000);
    if second < ends && begins <= second {
        Ok(())
    } else {
        Err(Refusal::Stale)
    }
}

#[cfg(test)]
mod tests;
