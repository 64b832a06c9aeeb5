//! Tokens, good and forged (RELIABILITY: alg=none, key confusion, wrong audience, expiry, tampering).

use serde_json::{Value, json};

use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const TTL: Duration = Duration::minutes(15);

fn claims() -> Claims {
    Claims::new(TenantId::new(), KeyId::new(), &[Scope::JobsRead, Scope::JobsWrite], NOW, NOW + TTL)
}

fn forge(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// What a server does with a token, given that it has one key.
fn accept(key: &SigningKey, token: &str) -> Result<Bearer, Error> {
    if key_id(token)? != key.id {
        return Err(Error::InvalidToken);
    }
    key.verify(token)?.read(NOW)
}

#[test]
fn a_token_is_read_back() {
    let key = SigningKey::generate(NOW).expect("a key");
    let claims = claims();
    let token = key.sign(&claims).expect("a token");
    assert!(looks_like_token(&token));
    assert_eq!(key_id(&token).expect("its key"), key.id);
    assert_eq!(key.verify(&token).expect("its signature"), claims);
    let bearer = claims.read(NOW).expect("its life has begun");
    assert_eq!(bearer.scopes, [Scope::JobsRead, Scope::JobsWrite]);
    assert_eq!(bearer.expire_time, NOW + TTL);
    // A key that was stored and read signs the same.
    let again = SigningKey::from_seed(key.id.clone(), key.seed(), NOW, None).expect("the same key");
    assert_eq!(again.verify(&token).expect("its signature"), claims);
}

#[test]
fn a_token_lives_as_long_as_it_says() {
    let claims = claims();
    for (at, good) in [
        (NOW - LEEWAY, true),
        (NOW - LEEWAY - Duration::SECOND, false),
        (NOW + TTL, true),
        (NOW + TTL + LEEWAY - Duration::SECOND, true),
        (NOW + TTL + LEEWAY, false),
    ] {
        assert_eq!(claims.read(at).is_ok(), good, "{at}");
    }
}

#[test]
fn forged_tokens_are_refused() {
    let key = SigningKey::generate(NOW).expect("a key");
    let stranger = SigningKey::generate(NOW).expect("a key");
    let pair = Ed25519KeyPair::from_seed_unchecked(key.seed()).expect("the same key");
    let signed = |text: &[u8]| pair.sign(text).as_ref().to_vec();
    let good = serde_json::to_value(claims()).expect("JSON");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let header = |alg: &str| json!({"typ": "JWT", "alg": alg, "kid": key.id});
    let own = header("EdDSA");
    assert!(accept(&key, &forge(&own, &good, signed)).is_ok(), "the forge itself works");

    let hs256 = |text: &[u8]| {
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public), text).as_ref().to_vec()
    };
    let cases = [
        ("alg none", forge(&header("none"), &good, |_| vec![])),
        ("alg None", forge(&header("None"), &good, |_| vec![])),
        ("HS256 with the public key", forge(&header("HS256"), &good, hs256)),
        ("EdDSA in name, HMAC in truth", forge(&own, &good, hs256)),
        ("no signature", forge(&own, &good, |_| vec![])),
        ("no kid", forge(&json!({"alg": "EdDSA"}), &good, signed)),
        ("path as kid", forge(&json!({"alg": "EdDSA", "kid": "../../x"}), &good, signed)),
        ("a stranger's key under our kid", {
            let other = Ed25519KeyPair::from_seed_unchecked(stranger.seed()).expect("a key");
            forge(&own, &good, move |text| other.sign(text).as_ref().to_vec())
        }),
        ("a stranger's kid", stranger.sign(&claims()).expect("a token")),
        ("wrong issuer", forge(&own, &with("iss", json!("evil")), signed)),
        ("wrong audience", forge(&own, &with("aud", json!("evil")), signed)),
        ("several audiences", forge(&own, &with("aud", json!(["crawlmesh", "evil"])), signed)),
        ("expired", forge(&own, &with("exp", json!(-31)), signed)),
        ("not yet", forge(&own, &with("nbf", json!(31)), signed)),
        ("no end", forge(&own, &with("exp", Value::Null), signed)),
        ("subject of another kind", forge(&own, &with("sub", json!("tenants/x")), signed)),
        ("tenant that is none", forge(&own, &with("tenant", json!("x")), signed)),
        ("too long", forge(&own, &with("jti", json!("x".repeat(MAX_TOKEN_BYTES))), signed)),
        ("not a token", "a.b.c".to_owned()),
        ("empty parts", "..".to_owned()),
    ];
    for (name, token) in cases {
        assert!(matches!(accept(&key, &token), Err(Error::InvalidToken)), "{name}");
    }
}

#[test]
fn a_changed_token_is_refused() {
    let key = SigningKey::generate(NOW).expect("a key");
    let token = key.sign(&claims()).expect("a token");
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (header, payload) = head.split_once('.').expect("three parts");
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON");
    claims["scope"] = json!("tenants:manage");
    let changed = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    assert!(matches!(accept(&key, &changed), Err(Error::InvalidToken)));
}
