//! Small pages, which are kept in the database.

use domain::JobId;
use futures::future::join_all;
use sea_orm::{ConnectionTrait, Database, Statement};
use tonic::Code;

use crate::boot::{Page, World, eventually, refused, someone, worlds};

/// Worlds with the settings that a user has.
fn small() -> Vec<World> {
    let defaults = mesh::config::with::<result::Config>(toml::Table::new()).expect("the defaults are valid");
    let mut worlds = worlds();
    for world in &mut worlds {
        world.config.objects.inline_limit = defaults.objects.inline_limit;
    }
    worlds
}

/// Documents and artifacts that are kept in the database.
async fn parts(world: &World) -> i64 {
    let db = Database::connect(&world.config.database.url).await.expect("the database");
    let count = Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) FROM part");
    let row = db.query_one_raw(count).await.expect("a query").expect("a row");
    let count = row.try_get_by_index(0).expect("a number");
    db.close().await.expect("it closes");
    count
}

/// Text that cannot be packed to less than the limit.
fn noise() -> String {
    (0..80_000).map(|_| rand::random_range('a'..='z')).collect()
}

#[tokio::test]
async fn a_small_document_is_a_row_and_outlives_a_restart() {
    for world in small() {
        let result = world.start().await;
        let whom = someone();
        let artifacts = vec![("html", "text/html", b"<p>Hi".to_vec()), ("screenshot", "image/png", vec![7])];
        let page = Page { artifacts, ..Page::new(&whom, JobId::new()) };
        assert!(result.store(&page).await.expect("it is stored"));
        assert!(result.store(&page).await.expect("it was stored"), "the second delivery is a success");
        let document = result.get(&whom, &page.name()).await.expect("it is there");
        assert_eq!(document.markdown, "# Hi");
        assert_eq!((world.files().len(), parts(&world).await), (0, 3));
        for (kind, content_type, bytes) in &page.artifacts {
            let pieces = result.artifact(&whom, &page.name(), kind).await.expect("it is there");
            assert_eq!((pieces[0].content_type.as_str(), &pieces[0].data), (*content_type, bytes));
        }
        result.stop().await;
        let result = world.start().await;
        assert_eq!(result.get(&whom, &page.name()).await.expect("it outlives a restart"), document);
        assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0, [page.name()]);
        let other = someone();
        refused(result.get(&other, &page.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        result.stop().await;
    }
}

#[tokio::test]
async fn a_document_moves_between_row_and_file_as_its_dispatches_are_small_or_not() {
    for world in small() {
        let result = world.start().await;
        let whom = someone();
        let page = Page::new(&whom, JobId::new());
        let small = |seq: i64| Page { seq, markdown: format!("# {seq}"), ..page.clone() };
        let noise = noise();
        let large = |seq: i64| Page { markdown: format!("# {seq}{noise}"), ..small(seq) };
        let attached = |seq: i64, html: &[u8]| Page {
            artifacts: vec![("html", "text/html", html.to_vec())],
            ..small(seq)
        };
        let steps = [
            (small(1), 0, 1),
            (small(2), 0, 1),
            (attached(3, noise.as_bytes()), 2, 0),
            (attached(4, b"<p>"), 0, 2),
            (small(5), 0, 1),
            (large(6), 1, 0),
        ];
        for (page, files, rows) in steps {
            assert!(result.store(&page).await.expect("it is stored"));
            let read = result.get(&whom, &page.name()).await.expect("it is there");
            assert_eq!(
                (read.title, read.markdown),
                (format!("dispatch {}", page.seq), page.markdown.clone())
            );
            assert_eq!(parts(&world).await, rows, "dispatch {}", page.seq);
            eventually("the old objects are gone", async || world.files().len() == files).await;
        }
        assert!(!result.store(&small(4)).await.expect("it is dropped"), "an earlier dispatch");
        assert!(
            !result.store(&attached(4, noise.as_bytes())).await.expect("it is dropped"),
            "an earlier dispatch"
        );
        eventually("its objects are gone", async || world.files().len() == 1).await;
        assert_eq!(
            (result.list(&whom, page.job, 0, "").await.expect("a list").0.len(), parts(&world).await),
            (1, 0)
        );
        result.stop().await;
    }
}

#[tokio::test]
async fn rows_go_with_their_documents() {
    for world in small() {
        let result = world.start().await;
        let (whom, job) = (someone(), JobId::new());
        let alive = Page::new(&whom, job);
        assert!(result.store(&alive).await.expect("it is stored"));
        for _ in 0..10 {
            assert!(result.store(&Page { ttl: -10, ..Page::new(&whom, job) }).await.expect("it is stored"));
        }
        eventually("the others are gone", async || parts(&world).await == 1).await;
        assert!(result.get(&whom, &alive.name()).await.is_ok());
        result.stop().await;
    }
}

#[tokio::test]
async fn a_row_that_vanished_is_a_failure_and_not_an_empty_page() {
    let world = &small()[0];
    let result = world.start().await;
    let whom = someone();
    let page = Page::new(&whom, JobId::new());
    assert!(result.store(&page).await.expect("it is stored"));
    let db = Database::connect(&world.config.database.url).await.expect("the database");
    db.execute_unprepared("DELETE FROM part").await.expect("it goes");
    db.close().await.expect("it closes");
    refused(result.get(&whom, &page.name()).await, Code::Internal, "DOCUMENT_LOST");
    assert!(result.store(&Page { seq: 2, ..page.clone() }).await.expect("the next dispatch mends it"));
    assert!(result.get(&whom, &page.name()).await.is_ok());
    result.stop().await;
}

#[tokio::test]
async fn pages_that_come_together_are_kept_each_by_itself_whatever_the_others_are() {
    for world in small() {
        let result = world.start().await;
        let (whom, job, noise) = (someone(), JobId::new(), noise());
        let known = Page { seq: 2, ..Page::new(&whom, job) };
        assert!(result.store(&known).await.expect("it is stored"));
        // New ones, small and large, some of them under one key of the cache; one that is known, and one that is too late.
        let mut pages: Vec<_> = (0..24_u8)
            .map(|n| {
                let size = if n % 3 == 0 { noise.len() } else { 3 };
                let cache_key = vec![n / 8; 32];
                Page { markdown: format!("# {n} {}", &noise[..size]), cache_key, ..Page::new(&whom, job) }
            })
            .collect();
        pages.push(known.clone());
        pages.push(Page { seq: 1, markdown: "# late".to_owned(), ..known.clone() });
        let stored = join_all(pages.iter().map(|page| result.store(page))).await;
        let stored: Vec<bool> = stored.into_iter().map(|stored| stored.expect("an answer")).collect();
        assert_eq!(stored, [vec![true; 25], vec![false]].concat());
        for page in &pages[..25] {
            assert_eq!(result.get(&whom, &page.name()).await.expect("it is there").markdown, page.markdown);
        }
        assert_eq!((world.files().len(), parts(&world).await), (8, 17));
        result.stop().await;
    }
}
