//! Signatures of deliveries, as Standard Webhooks 1.0 has them: HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Length of a secret, bytes. The standard wants 24 to 64.
pub(crate) const SECRET_BYTES: usize = 32;

/// The secret that signs a tenant's deliveries.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningSecret([u8; SECRET_BYTES]);

impl SigningSecret {
    pub(crate) fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }

    /// `whsec_` and base64: the form that receivers' libraries take.
    pub(crate) fn to_text(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    /// Value of the `webhook-signature` header. `timestamp` is the Unix time of this attempt, seconds.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        sign(&self.0, id, timestamp, body)
    }
}

fn sign(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("because HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vector_of_the_standard() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("because it is base64");
        let body = br#"{"test": 2432232314}"#;
        let signature = sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_receiver_s_library_agrees() {
        let secret = SigningSecret::new([7; SECRET_BYTES]);
        let library =
            standardwebhooks::Webhook::new(&secret.to_text()).expect("because the form is the standard's");
        let theirs = library.sign("id", 1_700_000_000, b"{}").expect("because it can be signed");
        assert_eq!(secret.sign("id", 1_700_000_000, b"{}"), theirs);
    }
}
