//! Credentials that are none, and a database that is away.

use domain::Scope;
use tonic::Code;

use crate::boot::{World, refused, worlds};

#[tokio::test]
async fn what_is_no_credential_is_refused() {
    for world in worlds() {
        let mut auth = world.start().await;
        let key = world.admin_key();
        let mut swapped = key.clone().into_bytes();
        swapped.swap(10, 11);
        let swapped = String::from_utf8(swapped).expect("ASCII");
        for (text, reason) in [
            ("", "MISSING_CREDENTIALS"),
            ("ck_", "INVALID_API_KEY"),
            (&key[..40], "INVALID_API_KEY"),
            (&"ck_x".repeat(2500), "INVALID_API_KEY"),
            ("Bearer x", "INVALID_API_KEY"),
            ("..", "INVALID_TOKEN"),
            ("a.b.c", "INVALID_TOKEN"),
            (&format!("a.b.{}", "c".repeat(100_000)), "INVALID_TOKEN"),
        ] {
            refused(auth.principal(text).await, Code::Unauthenticated, reason);
        }
        // Neighbours that are alike make the same key when they change places.
        if swapped != key {
            refused(auth.principal(&swapped).await, Code::Unauthenticated, "INVALID_API_KEY");
        }
        refused(auth.token("").await, Code::Unauthenticated, "MISSING_CREDENTIALS");
        refused(auth.token("a.b.c").await, Code::Unauthenticated, "INVALID_API_KEY");
        auth.stop().await;
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_told_and_comes_back() {
    let postgres = store::testing::Postgres::start().expect("a database server");
    let url = postgres.fresh_url().expect("a database");
    let world = World::new(store::Config { url, ..store::Config::default() });
    let mut auth = world.start().await;
    let admin = auth.principal(&world.admin_key()).await.expect("the admin");

    postgres.stop().expect("it stops");
    // What cannot be a key does not ask the database.
    let mut mistyped = world.admin_key();
    mistyped.replace_range(10..11, if &mistyped[10..11] == "x" { "y" } else { "x" });
    refused(auth.principal(&mistyped).await, Code::Unauthenticated, "INVALID_API_KEY");
    refused(auth.principal(&world.admin_key()).await, Code::Unavailable, "AUTH_STORE_UNREACHABLE");
    refused(auth.create(&admin, &[Scope::JobsRead]).await, Code::Unavailable, "AUTH_STORE_UNREACHABLE");

    postgres.start_again().expect("it starts");
    let patience = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while auth.principal(&world.admin_key()).await.is_err() {
        assert!(tokio::time::Instant::now() < patience, "it did not recover");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    auth.stop().await;
}
