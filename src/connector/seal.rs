//! Seals tokens for the disk: AES-256-GCM under a key that never stands in the ledger. The sealed text carries the id of
//! its key, so that a key can be changed, and a wrong one is told from a damaged text.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use compact_str::CompactString;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::error::{Code, Problem};

/// The first byte of everything sealed.
const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 12;

/// The keys: the first seals, all of them open.
pub struct KeyRing(Vec<(CompactString, RandomizedNonceKey)>);

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

/// A fresh key, as it stands in a file.
///
/// # Errors
/// When the machine has no randomness to give.
pub fn new_key() -> Result<SecretString, Problem> {
    let mut key = [0_u8; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).map_err(|_error| Problem::new(Code::Bug, "no randomness for a key"))?;
    Ok(SecretString::from(STANDARD.encode(key)))
}

impl KeyRing {
    /// Reads keys: 32 bytes each in base64 or as 64 hexadecimal digits, apart by white space. The first one seals.
    ///
    /// # Errors
    /// When one is not a key; nothing of it is told.
    pub fn parse(text: &SecretString) -> Result<Self, Problem> {
        let keys = text.expose_secret().split_whitespace().map(|word| {
            let bytes = bytes(word).ok_or_else(bad_key)?;
            let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_error| bad_key())?;
            Ok((id(&bytes), key))
        });
        let keys: Vec<_> = keys.collect::<Result<_, Problem>>()?;
        if keys.is_empty() {
            Err(bad_key())
        } else {
            Ok(Self(keys))
        }
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current(&self) -> CompactString {
        self.0.first().map(|(id, _)| id.clone()).unwrap_or_default()
    }

    /// Seals a text for one system; it opens for that system only.
    ///
    /// # Errors
    /// Never with a sound machine.
    pub fn seal(&self, system: &str, text: &str) -> Result<Vec<u8>, Problem> {
        let broken = || Problem::new(Code::Bug, "a token could not be sealed");
        let (id, key) = self.0.first().ok_or_else(broken)?;
        let mut sealed = text.as_bytes().to_vec();
        let nonce = key
            .seal_in_place_append_tag(about(system, id), &mut sealed)
            .map_err(|_error| broken())?;
        let mut out = vec![FORMAT];
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut sealed);
        Ok(out)
    }

    /// Opens what [`KeyRing::seal`] made.
    ///
    /// # Errors
    /// `TokenSealed` when the key is not here, or the text is damaged or another system's.
    pub fn open(&self, system: &str, sealed: &[u8]) -> Result<SecretString, Problem> {
        let damaged = || {
            Problem::new(Code::TokenSealed, "the stored token is damaged")
                .about(system)
                .hint("restore the ledger from a backup, or sign in again with `nivel auth`")
        };
        let rest = sealed.strip_prefix(&[FORMAT]).ok_or_else(damaged)?;
        let (id, rest) = rest.split_at_checked(2 * ID_BYTES).ok_or_else(damaged)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_BYTES).ok_or_else(damaged)?;
        let id = std::str::from_utf8(id).map_err(|_error| damaged())?;
        let Some((_, key)) = self.0.iter().find(|(known, _)| known == id) else {
            let known: Vec<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
            let message = format!(
                "the stored token is sealed with key {id}, which is not here; here is {}",
                known.join(", ")
            );
            return Err(Problem::new(Code::TokenSealed, message)
                .about(system)
                .hint("put the old key behind the new one in `token_key`, then `nivel auth rotate-key`"));
        };
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_error| damaged())?;
        let mut text = rest.to_vec();
        let text = key
            .open_in_place(nonce, about(system, id), &mut text)
            .map_err(|_error| damaged())?;
        let text = std::str::from_utf8(text).map_err(|_error| damaged())?;
        Ok(SecretString::from(text.to_owned()))
    }
}

/// What is sealed with the text without being in it: a row that is copied to another system does not open.
fn about(system: &str, id: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("nivel token {FORMAT} {id} {system}").into_bytes())
}

fn bytes(word: &str) -> Option<Vec<u8>> {
    let hex = |word: &str| {
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        word.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>()
    };
    let found = match word.len() {
        64 => hex(word),
        43 => URL_SAFE_NO_PAD
            .decode(word)
            .ok()
            .or_else(|| STANDARD.decode(format!("{word}=")).ok()),
        _ => STANDARD.decode(word).ok(),
    };
    found.filter(|bytes| bytes.len() == KEY_BYTES)
}

fn id(key: &[u8]) -> CompactString {
    let digest = Sha256::digest(key);
    digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn bad_key() -> Problem {
    Problem::new(
        Code::TokenKey,
        "a key for tokens is 32 random bytes in base64, or 64 hexadecimal digits",
    )
    .about("token_key")
    .hint("`openssl rand -base64 32` makes one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[&SecretString]) -> KeyRing {
        let text: Vec<&str> = keys.iter().map(|key| key.expose_secret()).collect();
        KeyRing::parse(&SecretString::from(text.join("\n"))).unwrap()
    }

    #[test]
    fn p59_what_was_sealed_opens_with_its_key_and_no_other() {
        let (old, new) = (new_key().unwrap(), new_key().unwrap());
        let sealed = ring(&[&old]).seal("crm", "c4n4ry").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"c4n4ry"));
        assert_eq!(ring(&[&old]).open("crm", &sealed).unwrap().expose_secret(), "c4n4ry");
        assert_eq!(
            ring(&[&new, &old]).open("crm", &sealed).unwrap().expose_secret(),
            "c4n4ry"
        );
        let wrong = ring(&[&new]).open("crm", &sealed).unwrap_err();
        assert_eq!(wrong.code, Code::TokenSealed);
        assert!(
            wrong.message.contains(ring(&[&old]).current().as_str()),
            "the key that is missing is named: {wrong}"
        );
        assert!(ring(&[&old]).open("desk", &sealed).is_err(), "another system's");
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(ring(&[&old]).open("crm", &damaged).is_err(), "byte {at}");
            assert!(ring(&[&old]).open("crm", &sealed[..at]).is_err());
        }
        assert_ne!(
            sealed,
            ring(&[&old]).seal("crm", "c4n4ry").unwrap(),
            "no two seals are alike"
        );
    }

    #[test]
    fn keys_come_in_base64_and_hex_and_are_never_shown() {
        let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let base64 = STANDARD.encode(bytes(hex).unwrap());
        let one = KeyRing::parse(&hex.to_owned().into()).unwrap();
        let two = KeyRing::parse(&base64.clone().into()).unwrap();
        assert_eq!(one.current(), two.current());
        assert!(!format!("{one:?}").contains("0011223344"));
        for bad in [
            "",
            "short",
            "zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ] {
            let problem = KeyRing::parse(&bad.to_owned().into()).unwrap_err();
            assert_eq!(problem.code, Code::TokenKey);
            assert!(bad.is_empty() || !format!("{problem:?}").contains(bad));
        }
    }
}
