//! Signs what Nivel itself sends, as Standard Webhooks says. The way back stands in [`super::verify`]. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::error::{Code, Problem};
use crate::model::UnixMillis;

/// The headers of a signed message. With several keys there are several signatures: the receiver may know either, while
/// one key takes the place of another.
///
/// # Errors
/// When there is no key, or the id cannot stand in a header.
pub fn signed(keys: &[Vec<u8>], id: &str, now: UnixMillis, body: &[u8]) -> Result<HeaderMap, Problem> {
    let bug = |error: &dyn std::fmt::Display| Problem::new(Code::Bug, format!("a message cannot be signed: {error}"));
    let seconds = now.0.div_euclid(1000).to_string();
    let mut signatures = Vec::new();
    for key in keys.iter().filter(|key| !key.is_empty()) {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| bug(&error))?;
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
            mac.update(part);
        }
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    if signatures.is_empty() {
        return Err(bug(&"there is no key"));
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds),
        ("webhook-signature", signatures.join(" ")),
    ] {
        let value = HeaderValue::from_str(&value).map_err(|error| bug(&error))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Standard Webhooks specification's own libraries.
    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let now = UnixMillis(1_614_265_330_000);
        let headers = signed(
            &[key, b"another".to_vec()],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            now,
            br#"{"test": 2432232314}"#,
        )
        .unwrap();
        let signatures = headers["webhook-signature"].to_str().unwrap();
        let (first, second) = signatures.split_once(' ').unwrap();
        assert_eq!(first, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(second.starts_with("v1,") && second != first);
        assert_eq!(headers["webhook-timestamp"], "1614265330");
        assert!(signed(&[], "id", now, b"").is_err());
    }
}
