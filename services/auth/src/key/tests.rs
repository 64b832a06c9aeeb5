//! The rules of API keys, by table.

use time::Duration;

use super::*;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

#[test]
fn a_secret_is_read_back_and_no_two_are_alike() {
    let secret = Secret::generate().expect("randomness");
    assert_eq!(Secret::parse(secret.expose()).expect("its own secret"), secret);
    assert_ne!(secret, Secret::generate().expect("randomness"));
    assert_eq!(format!("{secret:?}"), "***");
    assert!(secret.expose().starts_with(secret.prefix()) && secret.prefix().len() == 9);
}

#[test]
fn what_cannot_be_a_secret_is_refused() {
    let good = Secret::generate().expect("randomness").expose().to_owned();
    // The checksum finds every single wrong character.
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
        let wrong = String::from_utf8(bytes).expect("ASCII");
        assert!(matches!(Secret::parse(&wrong), Err(Error::InvalidKey)), "{wrong}");
    }
    let multibyte = format!("ck_{}", "é".repeat(19));
    assert_eq!(multibyte.len(), SECRET_BYTES);
    for wrong in
        ["", "ck_", &good[..40], &format!("{good}0"), &"ck_".repeat(4000), &multibyte, &good.to_uppercase()]
    {
        assert!(matches!(Secret::parse(wrong), Err(Error::InvalidKey)));
    }
}

#[test]
fn a_key_gives_away_only_what_it_has() {
    use Scope::{JobsRead, JobsWrite, KeysManage, TenantsManage};
    let all = Scope::ALL;
    type Case<'a> = (&'a [Scope], &'a [Scope], Result<&'a [Scope], Scope>);
    let cases: [Case<'_>; 5] = [
        (&[], &[KeysManage, JobsRead], Ok(&[JobsRead, KeysManage])),
        (&[JobsRead, JobsRead], all, Ok(&[JobsRead])),
        (&[TenantsManage], all, Ok(&[TenantsManage])),
        (&[JobsWrite], &[KeysManage, JobsRead], Err(JobsWrite)),
        (&[JobsRead, TenantsManage], &[JobsRead], Err(TenantsManage)),
    ];
    for (asked, creator, expected) in cases {
        match (grant(asked, creator), expected) {
            (Ok(scopes), Ok(expected)) => assert_eq!(scopes, expected),
            (Err(Error::MissingPermission(scope)), Err(expected)) => assert_eq!(scope, expected),
            (other, expected) => panic!("{asked:?} of {creator:?}: {other:?} instead of {expected:?}"),
        }
    }
    assert!(!grant(&[], all).expect("all of its own").contains(&TenantsManage));
}

#[test]
fn a_key_stops_when_it_expires_or_is_revoked() {
    let second = Duration::SECOND;
    let cases = [
        (None, None, "ok"),
        (Some(NOW + second), None, "ok"),
        (Some(NOW), None, "expired"),
        (Some(NOW - second), None, "expired"),
        (None, Some(NOW), "revoked"),
        // Revoking says more than expiry does.
        (Some(NOW - second), Some(NOW), "revoked"),
    ];
    for (expire_time, revoke_time, expected) in cases {
        let key = Key {
            id: KeyId::new(),
            tenant: TenantId::new(),
            display_name: "k".to_owned(),
            prefix: "ck_abcdef".to_owned(),
            scopes: vec![],
            create_time: NOW,
            expire_time,
            revoke_time,
        };
        let actual = match key.usable(NOW) {
            Ok(()) => "ok",
            Err(Error::ExpiredKey) => "expired",
            Err(Error::RevokedKey) => "revoked",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(actual, expected);
    }
}
