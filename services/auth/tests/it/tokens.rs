//! Access tokens: issued, verified by anybody, refused when forged or when their key is revoked.

use api::auth::v1 as pb;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{KeyId, Scope};
use mesh::Principal;
use ring::{hmac, signature};
use serde_json::{Value, json};
use tonic::{Code, Response};

use crate::boot::{Running, by, refused, worlds};

async fn jwks(auth: &mut Running) -> Vec<pb::Jwk> {
    auth.client.get_jwks(pb::GetJwksRequest {}).await.expect("the keys").into_inner().keys
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn read(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn a_token_stands_for_its_key_and_anybody_can_verify_it() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let answer = auth.token(&world.admin_key()).await.expect("a token");
        assert_eq!(answer.token_type, "bearer");
        assert_eq!(answer.expires_in.expect("a time").seconds, 900);
        assert_eq!(auth.principal(&answer.access_token).await.expect("it works"), admin);

        let parts: Vec<_> = answer.access_token.split('.').collect();
        let (header, claims) = (read(parts[0]), read(parts[1]));
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("JWT")));
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!("crawlmesh"), &json!("crawlmesh")));
        assert_eq!((&claims["sub"], &claims["tenant"]), (&json!(admin.subject), &json!(admin.tenant.0)));
        assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|time| time + 900));
        let key = jwks(&mut auth).await.into_iter().find(|key| header["kid"] == key.kid).expect("its key");
        assert_eq!((key.kty.as_str(), key.crv.as_str(), key.alg.as_str()), ("OKP", "Ed25519", "EdDSA"));
        let public = URL_SAFE_NO_PAD.decode(key.x).expect("base64");
        let signed = format!("{}.{}", parts[0], parts[1]);
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
        signature::UnparsedPublicKey::new(&signature::ED25519, public)
            .verify(signed.as_bytes(), &signature)
            .expect("the signature is good");

        // The key as the credential of the call.
        let request = by(&admin, pb::IssueTokenRequest::default());
        let token = auth.client.issue_token(request).await.expect("a token").into_inner().access_token;
        assert_eq!(auth.principal(&token).await.expect("it works"), admin);
        for subject in [KeyId::new().name(), "users/x".to_owned()] {
            let stranger = Principal { subject, ..admin.clone() };
            let request = by(&stranger, pb::IssueTokenRequest::default());
            let answer = auth.client.issue_token(request).await.map(Response::into_inner);
            assert_eq!(answer.expect_err("nobody").code(), Code::Unauthenticated);
        }
        auth.stop().await;
    }
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = &worlds()[0];
    let mut auth = world.start().await;
    let token = auth.token(&world.admin_key()).await.expect("a token").access_token;
    let key = jwks(&mut auth).await.remove(0);
    let public = URL_SAFE_NO_PAD.decode(&key.x).expect("base64");
    let parts: Vec<_> = token.split('.').collect();
    let claims = read(parts[1]);
    let header = |alg: &str, kid: &str| part(&json!({"typ": "JWT", "alg": alg, "kid": kid}));

    let hs256 = |secret: &[u8]| {
        let text = format!("{}.{}", header("HS256", &key.kid), parts[1]);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let mut richer = claims.clone();
    richer["tenant"] = json!("018f3c9e-6a5b-7c3d-8e1f-0123456789ab");
    let mut later = claims.clone();
    later["exp"] = json!(4_102_444_800_u32);
    let mut signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64");
    signature[0] ^= 1;
    for (name, forged) in [
        ("alg none", format!("{}.{}.", header("none", &key.kid), parts[1])),
        ("alg none, signed", format!("{}.{}.{}", header("none", &key.kid), parts[1], parts[2])),
        ("HS256 with the public key", hs256(&public)),
        ("HS256 with the public key as text", hs256(key.x.as_bytes())),
        ("foreign kid", format!("{}.{}.{}", header("EdDSA", "other"), parts[1], parts[2])),
        ("path as kid", format!("{}.{}.{}", header("EdDSA", "../../x"), parts[1], parts[2])),
        ("another tenant", format!("{}.{}.{}", parts[0], part(&richer), parts[2])),
        ("a longer life", format!("{}.{}.{}", parts[0], part(&later), parts[2])),
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode(signature))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
    ] {
        let answer = auth.principal(&forged).await;
        assert!(answer.is_err(), "{name}");
        refused(answer, Code::Unauthenticated, "INVALID_TOKEN");
    }
    assert!(auth.principal(&token).await.is_ok(), "the token itself is good");
    auth.stop().await;
}

#[tokio::test]
async fn a_token_ends_with_its_key() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let created = auth.create(&admin, &[Scope::JobsRead]).await.expect("a key");
        let token = auth.token(&created.secret).await.expect("a token").access_token;
        assert_eq!(auth.principal(&token).await.expect("it works").scopes, [Scope::JobsRead]);
        auth.revoke(&admin, &created.api_key.expect("the key").name).await.expect("it is revoked");
        refused(auth.principal(&token).await, Code::Unauthenticated, "API_KEY_REVOKED");
        auth.stop().await;
    }
}

#[tokio::test]
async fn tokens_outlive_a_restart_and_a_rotation_and_are_good_at_every_replica() {
    for mut world in worlds() {
        let mut old = world.start().await;
        let admin = old.principal(&world.admin_key()).await.expect("the admin");
        let token = old.token(&world.admin_key()).await.expect("a token").access_token;
        let first = jwks(&mut old).await;
        let again = world.start().await;
        again.stop().await;
        assert_eq!(jwks(&mut old).await, first, "a start makes no key while there is a good one");

        // The shortest life there is; a key of this age is replaced at the next start.
        world.config.tokens.key_lifetime = std::time::Duration::ZERO;
        let mut new = world.start().await;
        let keys = jwks(&mut new).await;
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1..], first, "the new key comes first, the old one stays");
        assert_eq!(new.principal(&token).await.expect("an old token works"), admin);
        let fresh = new.token(&world.admin_key()).await.expect("a token").access_token;
        assert_eq!(old.principal(&fresh).await.expect("the old replica learns the new key"), admin);
        old.stop().await;
        new.stop().await;
    }
}
