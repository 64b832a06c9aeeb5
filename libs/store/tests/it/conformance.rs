//! The same behaviour on both databases.

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, IntoActiveModel, QueryOrder,
    QuerySelect, Statement, prelude::*, sea_query::OnConflict,
};
use store::{Db, comparable, is_unavailable, is_unique_violation, testing};
use time::{OffsetDateTime, macros::datetime};
use tokio::task::JoinSet;

use crate::schema::{Migrator, count, insert, item, new, open};

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("changed my mind")]
    Mind,
    #[error("reach the store")]
    Store(#[from] DbErr),
}

/// Runs a check on a fresh database of each kind.
async fn on_both(check: impl AsyncFn(&Db)) {
    for (name, config) in testing::both().unwrap() {
        eprintln!("on {name}");
        let db = open(&config).await;
        assert_eq!(db.is_sqlite(), name == "sqlite");
        check(&db).await;
        db.close().await;
    }
}

#[tokio::test]
async fn a_write_is_seen_by_the_next_read() {
    on_both(async |db| {
        for n in 1..=50 {
            insert(db, &n.to_string()).await.unwrap();
            assert_eq!(count(db).await, n);
        }
    })
    .await;
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    on_both(async |db| {
        let result: Result<(), Refusal> = db
            .write(async |txn| {
                new("a").into_active_model().insert(txn).await?;
                assert_eq!(item::Entity::find().count(txn).await?, 1, "a transaction sees its own writes");
                Err(Refusal::Mind)
            })
            .await;
        assert!(matches!(result, Err(Refusal::Mind)));
        assert_eq!(count(db).await, 0);
        insert(db, "a").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    on_both(async |db| {
        let mut writers = JoinSet::new();
        for writer in 0..8 {
            let db = db.clone();
            writers.spawn(async move {
                for n in 0..100 {
                    insert(&db, &format!("{writer}-{n}")).await?;
                }
                Ok::<_, DbErr>(())
            });
        }
        for result in writers.join_all().await {
            result.unwrap();
        }
        assert_eq!(count(db).await, 800);
    })
    .await;
}

#[tokio::test]
async fn reading_and_then_writing_does_not_lose_updates() {
    on_both(async |db| {
        insert(db, "counter").await.unwrap();
        let mut writers = JoinSet::new();
        for _ in 0..8 {
            let db = db.clone();
            writers.spawn(async move {
                for _ in 0..10 {
                    db.write(async |txn| {
                        // On SQLite the row lock means nothing; the writer is alone.
                        let row = item::Entity::find().lock_exclusive().one(txn).await?.unwrap();
                        let next = row.count + 1;
                        let mut row = row.into_active_model();
                        row.count = Set(next);
                        row.update(txn).await
                    })
                    .await?;
                }
                Ok::<_, DbErr>(())
            });
        }
        for result in writers.join_all().await {
            result.unwrap();
        }
        assert_eq!(item::Entity::find().one(db.read()).await.unwrap().unwrap().count, 80);
    })
    .await;
}

#[tokio::test]
async fn a_dropped_write_leaves_nothing_and_blocks_nobody() {
    on_both(async |db| {
        for n in 0..20 {
            let (begun, wait) = tokio::sync::oneshot::channel();
            let (writer, begun) = (db.clone(), std::sync::Mutex::new(Some(begun)));
            let mut task = JoinSet::new();
            task.spawn(async move {
                writer
                    .write::<(), DbErr, _>(async |txn| {
                        new(&format!("dropped-{n}")).into_active_model().insert(txn).await?;
                        begun.lock().unwrap().take().unwrap().send(()).unwrap();
                        std::future::pending().await
                    })
                    .await
            });
            wait.await.unwrap();
            task.abort_all();
            insert(db, &format!("kept-{n}")).await.unwrap();
        }
        assert_eq!(count(db).await, 20);
    })
    .await;
}

#[tokio::test]
async fn a_second_row_with_the_same_key_is_told_apart() {
    on_both(async |db| {
        insert(db, "same").await.unwrap();
        let error = insert(db, "same").await.unwrap_err();
        assert!(is_unique_violation(&error), "{error}");
        assert!(!is_unavailable(&error), "{error}");
        let error = db.read().execute_unprepared("SELECT * FROM missing").await.unwrap_err();
        assert!(!is_unique_violation(&error) && !is_unavailable(&error), "{error}");
    })
    .await;
}

#[tokio::test]
async fn migrating_twice_changes_nothing_and_many_may_start_at_once() {
    for (name, config) in testing::both().unwrap() {
        eprintln!("on {name}");
        let mut starts = JoinSet::new();
        for _ in 0..6 {
            let config = config.clone();
            starts.spawn(async move { Db::open::<Migrator>(&config).await.map(|_| ()) });
        }
        for result in starts.join_all().await {
            result.unwrap();
        }
        let db = open(&config).await;
        insert(&db, "kept").await.unwrap();
        db.close().await;
        assert_eq!(count(&open(&config).await).await, 1);
    }
}

#[tokio::test]
async fn every_kind_of_value_comes_back_as_it_went_in() {
    on_both(async |db| {
        let rows = [
            item::Model {
                count: i64::MAX,
                options: serde_json::json!({"a": [1, 2.5, null, true], "ü": "\u{1F600} '\"\\"}),
                body: (0..=255).collect(),
                created: datetime!(2026-02-28 23:59:59.123456 UTC),
                finished: Some(datetime!(1970-01-01 0:00 UTC)),
                ..new("big; DROP TABLE item; --")
            },
            item::Model {
                count: i64::MIN,
                options: serde_json::json!([]),
                body: Vec::new(),
                created: datetime!(2999-12-31 12:00:00.000001 UTC),
                finished: None,
                ..new("")
            },
        ];
        for row in rows {
            let stored = db.write(async |txn| row.clone().into_active_model().insert(txn).await).await;
            let stored: Result<item::Model, DbErr> = stored;
            assert_eq!(stored.unwrap(), row);
            let read = item::Entity::find_by_id(row.id).one(db.read()).await.unwrap();
            assert_eq!(read, Some(row));
        }
    })
    .await;
}

#[tokio::test]
async fn times_in_utc_are_ordered_and_compared_to_the_microsecond() {
    on_both(async |db| {
        let times = [
            datetime!(1999-12-31 23:59:59.999999 UTC),
            datetime!(2026-01-01 10:00:00 UTC),
            datetime!(2026-01-01 10:00:00.000002 UTC),
            datetime!(2026-01-01 10:00:00.5 UTC),
            datetime!(2026-01-01 10:00:00.51 UTC),
            datetime!(2026-01-01 12:00:00.6 +2),
            datetime!(2026-01-01 10:00:01 UTC),
        ];
        let times = times.map(comparable);
        for (n, time) in times.iter().enumerate().rev() {
            let row = item::Model { created: *time, ..new(&n.to_string()) };
            let result: Result<_, DbErr> =
                db.write(async |txn| row.into_active_model().insert(txn).await).await;
            result.unwrap();
        }
        let ordered = item::Entity::find().order_by_asc(item::Column::Created).all(db.read()).await.unwrap();
        assert_eq!(ordered.iter().map(|row| row.created).collect::<Vec<OffsetDateTime>>(), times);
        for (n, limit) in times.iter().enumerate() {
            let before = item::Entity::find().filter(item::Column::Created.lt(*limit));
            assert_eq!(before.count(db.read()).await.unwrap(), n as u64, "{limit}");
        }
    })
    .await;
}

#[tokio::test]
async fn conflicting_rows_can_be_left_or_replaced() {
    on_both(async |db| {
        let (old, new) = (new("x"), item::Model { count: 7, ..new("x") });
        insert(db, "x").await.unwrap();
        let keep = OnConflict::column(item::Column::Name).do_nothing().to_owned();
        let replace = OnConflict::column(item::Column::Name).update_column(item::Column::Count).to_owned();
        for (rule, rows, expected) in [(keep, &old, 0), (replace, &new, 7)] {
            let result: Result<_, DbErr> = db
                .write(async |txn| {
                    let rows = [rows.clone().into_active_model()];
                    item::Entity::insert_many(rows)
                        .on_conflict(rule.clone())
                        .exec_without_returning(txn)
                        .await
                })
                .await;
            result.unwrap();
            assert_eq!(item::Entity::find().one(db.read()).await.unwrap().unwrap().count, expected);
        }
        assert_eq!(count(db).await, 1);
    })
    .await;
}

#[tokio::test]
async fn an_update_returns_its_rows() {
    on_both(async |db| {
        for name in ["a", "b", "c"] {
            insert(db, name).await.unwrap();
        }
        let sql = "UPDATE item SET count = count + 1 WHERE name IN ('a', 'c') RETURNING name, count";
        let backend = db.backend();
        let rows: Result<_, DbErr> =
            db.write(async |txn| txn.query_all_raw(Statement::from_string(backend, sql)).await).await;
        let mut rows: Vec<(String, i64)> = rows
            .unwrap()
            .iter()
            .map(|r| (r.try_get("", "name").unwrap(), r.try_get("", "count").unwrap()))
            .collect();
        rows.sort();
        assert_eq!(rows, [("a".to_owned(), 1), ("c".to_owned(), 1)]);
    })
    .await;
}

#[tokio::test]
async fn an_open_database_is_ready_and_a_closed_one_is_not() {
    for (_, config) in testing::both().unwrap() {
        let db = open(&config).await;
        assert!(db.ready().await);
        db.close().await;
        assert!(!db.ready().await);
        assert!(is_unavailable(&insert(&db, "x").await.unwrap_err()));
    }
}

#[tokio::test]
async fn a_reader_of_sqlite_cannot_write() {
    let db = open(&testing::sqlite().unwrap()).await;
    let result = new("x").into_active_model().insert(db.read()).await;
    assert!(result.unwrap_err().to_string().contains("readonly"));
    assert_eq!(db.backend(), DbBackend::Sqlite);
}

#[tokio::test]
async fn row_28_transactions_that_lose_on_postgres_are_run_again() {
    let db = open(&testing::postgres().unwrap()).await;
    insert(&db, "a").await.unwrap();
    insert(&db, "b").await.unwrap();
    // Two transactions lock the same rows in opposite order, and meet in the middle the first time.
    let meet = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let mut sides = JoinSet::new();
    for order in [["a", "b"], ["b", "a"]] {
        let (db, meet) = (db.clone(), meet.clone());
        sides.spawn(async move {
            let first = std::sync::atomic::AtomicBool::new(true);
            db.write::<u32, Refusal, _>(async |txn| {
                let again = !first.swap(false, std::sync::atomic::Ordering::SeqCst);
                for (n, name) in order.iter().enumerate() {
                    item::Entity::update_many()
                        .col_expr(item::Column::Count, Expr::col(item::Column::Count).add(1))
                        .filter(item::Column::Name.eq(*name))
                        .exec(txn)
                        .await?;
                    if n == 0 && !again {
                        meet.wait().await;
                    }
                }
                Ok(u32::from(again))
            })
            .await
        });
    }
    let runs: u32 = sides.join_all().await.into_iter().map(Result::unwrap).sum();
    assert_eq!(runs, 1, "one side was run again");
    let rows = item::Entity::find().all(db.read()).await.unwrap();
    assert!(rows.iter().all(|row| row.count == 2), "{rows:?}");
}
