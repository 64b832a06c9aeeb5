//! API keys: made, listed, given scopes, revoked, and kept apart by tenant.

use std::time::{Duration, SystemTime};

use api::auth::v1 as pb;
use domain::{KeyId, Scope};
use mesh::Principal;
use tonic::{Code, Status};

use crate::boot::{Running, by, refused, worlds};

async fn list(
    auth: &mut Running,
    whom: &Principal,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<String>, String), Status> {
    let request = pb::ListApiKeysRequest { page_size, page_token: page_token.to_owned() };
    let answer = auth.client.list_api_keys(by(whom, request)).await?.into_inner();
    Ok((answer.api_keys.into_iter().map(|key| key.name).collect(), answer.next_page_token))
}

#[tokio::test]
async fn keys_are_listed_newest_first_page_by_page() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let mut expected = vec![admin.subject.clone()];
        for _ in 0..4 {
            let created = auth.create(&admin, &[Scope::JobsRead]).await.expect("a key");
            let key = created.api_key.expect("the key");
            assert!(created.secret.starts_with(&key.prefix) && key.prefix.len() < 10);
            assert_eq!((key.tenant, key.revoke_time), (admin.tenant.name(), None));
            expected.insert(0, key.name);
        }
        let (mut names, mut token) = list(&mut auth, &admin, 2, "").await.expect("a page");
        assert_eq!(names.len(), 2);
        while !token.is_empty() {
            let (more, next) = list(&mut auth, &admin, 2, &token).await.expect("a page");
            assert!(!more.is_empty() && more.len() <= 2);
            names.extend(more);
            token = next;
        }
        assert_eq!(names, expected);
        assert_eq!(list(&mut auth, &admin, 5, "").await.expect("a page"), (expected.clone(), String::new()));
        assert_eq!(list(&mut auth, &admin, i32::MAX, "").await.expect("a page").0, expected);

        refused(list(&mut auth, &admin, -1, "").await, Code::InvalidArgument, "NEGATIVE_PAGE_SIZE");
        refused(list(&mut auth, &admin, 1, "x").await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        let other = auth.tenant(&admin, "other").await;
        let (_, token) = list(&mut auth, &admin, 2, "").await.expect("a page");
        refused(list(&mut auth, &other, 2, &token).await, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        auth.stop().await;
    }
}

#[tokio::test]
async fn a_key_has_the_scopes_it_was_given_and_gives_no_others() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let all = auth.create(&admin, &[]).await.expect("a key").secret;
        let all = auth.principal(&all).await.expect("it works");
        assert_eq!(all.scopes.len(), Scope::ALL.len() - 1);
        assert!(!all.scopes.contains(&Scope::TenantsManage), "that has to be asked for");

        let few = auth.create(&admin, &[Scope::KeysManage, Scope::JobsRead]).await.expect("a key").secret;
        let few = auth.principal(&few).await.expect("it works");
        assert_eq!(few.scopes, [Scope::JobsRead, Scope::KeysManage]);
        let more = auth.create(&few, &[Scope::JobsWrite]).await;
        refused(more, Code::PermissionDenied, "MISSING_PERMISSION");

        let none = Principal { scopes: vec![Scope::JobsRead], ..few.clone() };
        refused(auth.create(&none, &[]).await, Code::PermissionDenied, "MISSING_PERMISSION");
        refused(list(&mut auth, &none, 1, "").await, Code::PermissionDenied, "MISSING_PERMISSION");
        refused(auth.revoke(&none, &few.subject).await, Code::PermissionDenied, "MISSING_PERMISSION");
        let request = pb::CreateTenantRequest { tenant: Some(pb::Tenant::default()) };
        let tenant = auth.client.create_tenant(by(&all, request)).await;
        refused(tenant, Code::PermissionDenied, "MISSING_PERMISSION");
        refused(
            auth.client.list_api_keys(pb::ListApiKeysRequest::default()).await,
            Code::Unauthenticated,
            "MISSING_CREDENTIALS",
        );
        auth.stop().await;
    }
}

#[tokio::test]
async fn wrong_fields_are_told() {
    let world = &worlds()[0];
    let mut auth = world.start().await;
    let admin = auth.principal(&world.admin_key()).await.expect("the admin");
    let key = |name: &str| pb::ApiKey { display_name: name.to_owned(), ..pb::ApiKey::default() };
    let past = Some(SystemTime::UNIX_EPOCH.into());
    let never = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let scopes = |count: usize| vec!["jobs:read".to_owned(); count];
    for (wrong, reason) in [
        (key(""), "REQUIRED"),
        (key(" \t"), "REQUIRED"),
        (key(&"x".repeat(101)), "TOO_LONG"),
        (key("a\0b"), "INVALID_TEXT"),
        (pb::ApiKey { scopes: vec!["jobs:everything".to_owned()], ..key("k") }, "UNKNOWN_SCOPE"),
        (pb::ApiKey { scopes: scopes(33), ..key("k") }, "TOO_MANY"),
        (pb::ApiKey { expire_time: past, ..key("k") }, "TIME_IN_PAST"),
        (pb::ApiKey { expire_time: never, ..key("k") }, "INVALID_TIME"),
        (pb::ApiKey { expire_time: past, ..key("") }, "INVALID_FIELD"),
    ] {
        refused(auth.create_as(&admin, wrong).await, Code::InvalidArgument, reason);
    }
    assert!(auth.create_as(&admin, key(&"é".repeat(100))).await.is_ok(), "characters are counted, not bytes");
    let nothing = pb::CreateApiKeyRequest { api_key: None };
    refused(auth.client.create_api_key(by(&admin, nothing)).await, Code::InvalidArgument, "REQUIRED");
    let nothing = pb::CreateTenantRequest { tenant: None };
    refused(auth.client.create_tenant(by(&admin, nothing)).await, Code::InvalidArgument, "REQUIRED");
    for name in ["", "api-keys/", "api-keys/x", "tenants/018f3c9e-6a5b-7c3d-8e1f-0123456789ab"] {
        refused(auth.revoke(&admin, name).await, Code::InvalidArgument, "INVALID_NAME");
    }
    auth.stop().await;
}

#[tokio::test]
async fn revoking_is_final_and_harmless_twice() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let created = auth.create(&admin, &[]).await.expect("a key");
        let name = created.api_key.expect("the key").name;
        let first = auth.revoke(&admin, &name).await.expect("it is revoked");
        assert!(first.revoke_time.is_some());
        assert_eq!(auth.revoke(&admin, &name).await.expect("it is still revoked"), first);
        refused(auth.principal(&created.secret).await, Code::Unauthenticated, "API_KEY_REVOKED");
        refused(auth.token(&created.secret).await, Code::Unauthenticated, "API_KEY_REVOKED");
        auth.stop().await;
        let mut auth = world.start().await;
        refused(auth.principal(&created.secret).await, Code::Unauthenticated, "API_KEY_REVOKED");
        auth.stop().await;
    }
}

#[tokio::test]
async fn another_tenants_key_looks_like_none() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let other = auth.tenant(&admin, "other").await;
        assert_ne!(other.tenant, admin.tenant);
        assert!(!other.scopes.contains(&Scope::TenantsManage));
        assert_eq!(
            list(&mut auth, &other, 0, "").await.expect("a page").0,
            std::slice::from_ref(&other.subject)
        );

        let foreign = auth.revoke(&other, &admin.subject).await.expect_err("it is not theirs");
        let unknown = auth.revoke(&other, &KeyId::new().name()).await.expect_err("it is nobody's");
        assert_eq!((foreign.code(), unknown.code()), (Code::NotFound, Code::NotFound));
        assert_eq!(mesh::error_reason(&foreign), Some("API_KEY_NOT_FOUND".to_owned()));
        let shape = |status: &Status| status.message().split_once(' ').map(|(_, rest)| rest.to_owned());
        assert_eq!(shape(&foreign), shape(&unknown), "the messages differ by the name alone");
        assert!(auth.principal(&world.admin_key()).await.is_ok(), "and nothing happened to it");
        auth.stop().await;
    }
}

#[tokio::test]
async fn a_key_stops_when_its_time_is_over() {
    for world in worlds() {
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let end = SystemTime::from(mesh::clock::now()) + Duration::from_millis(1500);
        let key = pb::ApiKey {
            display_name: "short".to_owned(),
            expire_time: Some(end.into()),
            ..pb::ApiKey::default()
        };
        let secret = auth.create_as(&admin, key).await.expect("a key").secret;
        let token = auth.token(&secret).await.expect("a token");
        assert!(token.expires_in.expect("a time").seconds <= 1, "a token ends with its key");
        let patience = tokio::time::Instant::now() + Duration::from_secs(10);
        while auth.principal(&secret).await.is_ok() {
            assert!(tokio::time::Instant::now() < patience, "the key lives on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        refused(auth.principal(&secret).await, Code::Unauthenticated, "API_KEY_EXPIRED");
        refused(auth.token(&secret).await, Code::Unauthenticated, "API_KEY_EXPIRED");
        refused(auth.principal(&token.access_token).await, Code::Unauthenticated, "API_KEY_EXPIRED");
        auth.stop().await;
    }
}

#[tokio::test]
async fn a_tenant_has_no_more_keys_than_allowed() {
    for mut world in worlds() {
        world.config.keys.max_per_tenant = 4;
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the admin");
        let request = pb::CreateApiKeyRequest {
            api_key: Some(pb::ApiKey { display_name: "k".to_owned(), ..pb::ApiKey::default() }),
        };
        let attempts = (0..8).map(|_| {
            let (mut client, request) = (auth.client.clone(), by(&admin, request.clone()));
            async move { client.create_api_key(request).await }
        });
        let results = futures::future::join_all(attempts).await;
        let (made, not): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 3, "the admin key is the fourth");
        for result in not {
            refused(result, Code::ResourceExhausted, "TOO_MANY_API_KEYS");
        }
        let key = made.into_iter().next().expect("one").expect("it was made").into_inner();
        auth.revoke(&admin, &key.api_key.expect("the key").name).await.expect("it is revoked");
        assert!(auth.create(&admin, &[]).await.is_ok(), "a revoked key makes room");
        auth.stop().await;
    }
}
