//! The first start makes a tenant and a key, once; later starts leave things as they are.

use std::{fs, os::unix::fs::PermissionsExt};

use api::auth::v1 as pb;
use domain::Scope;
use tonic::Code;

use crate::boot::{by, refused, worlds};

#[tokio::test]
async fn the_admin_key_is_written_once_and_may_do_everything() {
    for world in worlds() {
        let mut auth = world.start().await;
        let key = world.admin_key();
        let mode = fs::metadata(world.path("admin.key")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let admin = auth.principal(&key).await.expect("the key works");
        assert_eq!(admin.scopes, Scope::ALL);
        auth.stop().await;

        fs::remove_file(world.path("admin.key")).expect("it can be removed");
        let mut auth = world.start().await;
        assert!(!world.path("admin.key").exists(), "a second start shows no key");
        assert_eq!(auth.principal(&key).await.expect("the key still works"), admin);
        auth.stop().await;
    }
}

#[tokio::test]
async fn two_first_starts_at_once_make_one_tenant() {
    for world in worlds() {
        let (mut one, two) = tokio::join!(world.start(), world.start());
        // The process that lost must not have replaced the key that works.
        let admin = one.principal(&world.admin_key()).await.expect("the key in the file works");
        let files = fs::read_dir(world.path("")).expect("it is there").count();
        assert_eq!(files, 2, "the key and the pepper, and no drafts");
        let request = by(&admin, pb::ListApiKeysRequest::default());
        let keys = one.client.list_api_keys(request).await.expect("a list").into_inner().api_keys;
        assert_eq!(keys.len(), 1);
        one.stop().await;
        two.stop().await;
    }
}

#[tokio::test]
async fn without_its_pepper_every_key_is_void_until_another_is_made() {
    for mut world in worlds() {
        let mut auth = world.start().await;
        let key = world.admin_key();
        let tenant = auth.principal(&key).await.expect("the key works").tenant;
        let token = auth.token(&key).await.expect("a token").access_token;
        auth.stop().await;

        fs::remove_file(world.path("auth.pepper")).expect("it can be lost");
        let mut auth = world.start().await;
        refused(auth.principal(&key).await, Code::Unauthenticated, "INVALID_API_KEY");
        refused(auth.principal(&token).await, Code::Unauthenticated, "INVALID_TOKEN");
        auth.stop().await;

        world.config.bootstrap.reissue_admin_key = true;
        let mut auth = world.start().await;
        let admin = auth.principal(&world.admin_key()).await.expect("the new key works");
        assert_eq!(admin.tenant, tenant);
        let token = auth.token(&world.admin_key()).await.expect("a token").access_token;
        assert_eq!(auth.principal(&token).await.expect("it works").tenant, tenant);
        auth.stop().await;
    }
}
