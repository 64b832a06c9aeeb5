//! Time to live: what is over is invisible at once, and gone soon after.

use std::time::Duration;

use domain::JobId;
use tonic::Code;

use crate::boot::{Page, eventually, refused, someone, worlds};

#[tokio::test]
async fn what_is_over_is_invisible_at_once_and_then_gone() {
    for mut world in worlds() {
        // The janitor comes at start and then not again during the test.
        world.config.janitor.interval = Duration::from_secs(3600);
        let result = world.start().await;
        let (whom, job) = (someone(), JobId::new());
        let html = || vec![("html", "text/html", vec![1])];
        let over = Page { ttl: -10, artifacts: html(), ..Page::new(&whom, job) };
        let alive = Page { artifacts: html(), ..Page::new(&whom, job) };
        assert!(result.store(&over).await.expect("it is stored"));
        assert!(result.store(&alive).await.expect("it is stored"));
        refused(result.get(&whom, &over.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        refused(result.artifact(&whom, &over.name(), "html").await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        assert_eq!(result.list(&whom, job, 0, "").await.expect("a list").0, [alive.name()]);
        result.stop().await;

        let result = world.start().await;
        eventually("its objects are gone", async || world.files().len() == 2).await;
        assert!(result.get(&whom, &alive.name()).await.is_ok());
        result.stop().await;
    }
}

#[tokio::test]
async fn a_short_life_ends_by_itself() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let page = Page { ttl: 2, ..Page::new(&whom, JobId::new()) };
        assert!(result.store(&page).await.expect("it is stored"));
        assert!(result.get(&whom, &page.name()).await.is_ok());
        eventually("it is over", async || result.get(&whom, &page.name()).await.is_err()).await;
        refused(result.get(&whom, &page.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        eventually("nothing is left", async || {
            world.objects().read_dir().is_ok_and(|mut entries| entries.next().is_none())
        })
        .await;
        // It can be stored again.
        let again = Page { ttl: 60, seq: 1, ..page };
        assert!(result.store(&again).await.expect("it is stored"));
        assert!(result.get(&whom, &again.name()).await.is_ok());
        result.stop().await;
    }
}

#[tokio::test]
async fn many_that_are_over_go_in_batches() {
    for mut world in worlds() {
        world.config.janitor.batch = 3;
        let result = world.start().await;
        let (whom, job) = (someone(), JobId::new());
        let pages: Vec<_> = (0..20).map(|_| Page { ttl: -10, ..Page::new(&whom, job) }).collect();
        for page in &pages {
            assert!(result.store(page).await.expect("it is stored"));
        }
        eventually("nothing is left", async || world.files().is_empty()).await;
        result.stop().await;
    }
}
