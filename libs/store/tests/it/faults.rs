//! A database that goes away, is locked, or is not there yet.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database, DbErr, EntityTrait, PaginatorTrait, TransactionTrait};
use store::{Config, Db, Error, is_unavailable, testing};
use tokio::task::JoinSet;

use crate::schema::{Migrator, count, eventually, insert, item, open};

#[tokio::test]
async fn row_23_postgres_heals_after_a_restart() {
    let server = testing::Postgres::start().unwrap();
    let config = Config { url: server.fresh_url().unwrap(), ..Config::default() };
    let db = open(&config).await;
    insert(&db, "before").await.unwrap();

    server.stop().unwrap();
    assert!(!db.ready().await);
    let error = insert(&db, "lost").await.unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");

    server.start_again().unwrap();
    eventually(Duration::from_secs(10), async || insert(&db, "after").await.is_ok()).await;
    eventually(Duration::from_secs(10), async || item::Entity::find().count(db.read()).await == Ok(2)).await;
    assert!(db.ready().await);

    server.restart_immediate().unwrap();
    eventually(Duration::from_secs(10), async || insert(&db, "again").await.is_ok()).await;
    // Each connection that was in use a moment ago may fail once more.
    eventually(Duration::from_secs(10), async || item::Entity::find().count(db.read()).await == Ok(3)).await;
}

#[tokio::test]
async fn row_24_a_server_that_is_not_there_is_waited_for_and_then_reported() {
    let server = testing::Postgres::start().unwrap();
    let url = server.fresh_url().unwrap();
    server.stop().unwrap();

    let hasty = Config { url: url.clone(), connect_timeout: Duration::from_millis(300), ..Config::default() };
    let error = Db::open::<Migrator>(&hasty).await.unwrap_err();
    assert!(matches!(&error, Error::Open(e) if is_unavailable(e)), "{error:?}");

    let patient = Config { url, connect_timeout: Duration::from_secs(30), ..Config::default() };
    let mut opening = JoinSet::new();
    opening.spawn(async move { Db::open::<Migrator>(&patient).await });
    let starting = tokio::task::spawn_blocking(move || server.start_again().map(|()| server));
    let _server = starting.await.unwrap().unwrap();
    opening.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn row_30_a_locked_sqlite_file_is_unavailable_and_then_free_again() {
    let config = Config { busy_timeout: Duration::from_millis(200), ..testing::sqlite().unwrap() };
    let db = open(&config).await;
    insert(&db, "before").await.unwrap();

    let other = Database::connect(&config.url).await.unwrap();
    let lock = other.execute_unprepared("BEGIN IMMEDIATE").await;
    lock.unwrap();
    let error = insert(&db, "locked out").await.unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    assert_eq!(count(&db).await, 1, "reading goes on while another process writes");

    other.execute_unprepared("COMMIT").await.unwrap();
    insert(&db, "after").await.unwrap();
}

#[tokio::test]
async fn row_26_a_slow_statement_is_cut_off() {
    let config = Config { statement_timeout: Duration::from_millis(200), ..testing::postgres().unwrap() };
    let db = open(&config).await;
    let start = Instant::now();
    let error = db.read().execute_unprepared("SELECT pg_sleep(30)").await.unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn row_27_a_pool_in_use_is_unavailable_after_the_acquire_timeout() {
    for (name, config) in testing::both().unwrap() {
        eprintln!("on {name}");
        let config = Config { max_connections: 1, acquire_timeout: Duration::from_millis(200), ..config };
        let db = open(&config).await;
        let (holder, (begun, wait)) = (db.clone(), tokio::sync::oneshot::channel());
        let begun = std::sync::Mutex::new(Some(begun));
        let mut held = JoinSet::new();
        held.spawn(async move {
            holder
                .write::<(), DbErr, _>(async |_txn| {
                    begun.lock().unwrap().take().unwrap().send(()).unwrap();
                    std::future::pending().await
                })
                .await
        });
        wait.await.unwrap();
        let error = insert(&db, "x").await.unwrap_err();
        assert!(is_unavailable(&error), "{error:?}");
        held.abort_all();
        eventually(Duration::from_secs(5), async || insert(&db, "x").await.is_ok()).await;
    }
}

/// As while another version brings the tables up to date.
#[tokio::test]
async fn row_29_a_table_that_another_holds_is_unavailable_and_then_free_again() {
    let config = Config { statement_timeout: Duration::from_millis(400), ..testing::postgres().unwrap() };
    let db = open(&config).await;
    let other = Database::connect(&config.url).await.unwrap();
    let migration = other.begin().await.unwrap();
    migration.execute_unprepared("LOCK TABLE item IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = insert(&db, "locked out").await.unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    migration.commit().await.unwrap();
    insert(&db, "after").await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_all_named() {
    let config = Config { url: "mysql://x".into(), max_connections: 0, ..Config::default() };
    let error = Db::open::<Migrator>(&config).await.unwrap_err().to_string();
    assert!(error.contains("url") && error.contains("max_connections"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_not_unavailable() {
    let config = testing::sqlite().unwrap();
    let file = std::path::PathBuf::from(config.url.trim_start_matches("sqlite://"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    match Db::open::<Migrator>(&config).await {
        Err(Error::Open(e) | Error::Migrate(e)) => assert!(!is_unavailable(&e), "{e:?}"),
        other => panic!("{other:?}"),
    }
}
