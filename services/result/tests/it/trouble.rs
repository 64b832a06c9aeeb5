//! Crashes between objects and row, an object store that fails, a database that is away.

use std::{fs, os::unix::fs::symlink, time::Duration};

use domain::JobId;
use sea_orm::{ConnectionTrait, Database, Statement};
use tonic::Code;
use tonic_types::StatusExt;

use crate::boot::{Page, World, eventually, refused, someone, worlds};

#[tokio::test]
async fn row_03_a_crash_before_the_row_leaves_nothing_visible_and_nothing_for_ever() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let page = Page::new(&whom, JobId::new());
        assert!(result.store(&page).await.expect("it is stored"));
        let file = world.files().remove(0);
        result.stop().await;

        // As a crash leaves it: the folder is named, its objects are written, and there is no document yet.
        let other = Page::new(&whom, page.job);
        let folder = format!("{}/{}/{}/1-crashed", whom.tenant, other.job, other.page);
        fs::create_dir_all(world.objects().join(&folder)).expect("a folder");
        fs::copy(&file, world.objects().join(&folder).join("document.bin.zst")).expect("an object");
        // The draft of another object, under the name that the object store gives to drafts.
        fs::copy(&file, world.objects().join(&folder).join("html.zst#1")).expect("a draft");
        let db = Database::connect(&world.config.database.url).await.expect("the database");
        let sql =
            format!("INSERT INTO garbage (folder, due_time) VALUES ('{folder}', '2020-01-01T00:00:00Z')");
        db.execute_raw(Statement::from_string(db.get_database_backend(), sql)).await.expect("a row");
        db.close().await.expect("it closes");

        let result = world.start().await;
        refused(result.get(&whom, &other.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0, [page.name()]);
        eventually("the janitor found it", async || world.files() == [file.clone()]).await;
        assert!(result.store(&other).await.expect("the next attempt is stored"));
        assert!(result.get(&whom, &other.name()).await.is_ok());
        result.stop().await;
    }
}

#[tokio::test]
async fn row_70_an_object_store_that_fails_is_told_and_nothing_is_half_visible() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let page = Page { artifacts: vec![("html", "text/html", vec![1])], ..Page::new(&whom, JobId::new()) };
        assert!(result.store(&page).await.expect("it is stored"));

        // A folder that is a device: nothing can be written in it, and nothing read.
        let aside = world.objects().with_extension("aside");
        fs::rename(world.objects(), &aside).expect("it moves");
        symlink("/dev/full", world.objects()).expect("a link");
        let other = Page { seq: 1, ..Page::new(&whom, page.job) };
        let status = result.store(&other).await.expect_err("it cannot be stored");
        assert!(status.get_details_retry_info().is_some(), "it says when to try again");
        refused::<()>(Err(status), Code::Unavailable, "RESULT_STORE_UNREACHABLE");
        refused(result.get(&whom, &other.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        let newer = Page { seq: 2, ..page.clone() };
        refused(result.store(&newer).await, Code::Unavailable, "RESULT_STORE_UNREACHABLE");

        fs::remove_file(world.objects()).expect("the link goes");
        fs::rename(&aside, world.objects()).expect("it moves back");
        let read = result.get(&whom, &page.name()).await.expect("it is still there");
        assert_eq!(read.title, "dispatch 1");
        assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0, [page.name()]);
        assert!(result.store(&newer).await.expect("now it is stored"));
        assert!(result.store(&other).await.expect("now it is stored"));
        assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0.len(), 2);
        result.stop().await;
    }
}

#[tokio::test]
async fn objects_that_vanished_are_a_failure_and_not_an_empty_page() {
    let world = &worlds()[0];
    let result = world.start().await;
    let whom = someone();
    let page = Page { artifacts: vec![("html", "text/html", vec![1])], ..Page::new(&whom, JobId::new()) };
    assert!(result.store(&page).await.expect("it is stored"));
    for file in world.files() {
        fs::remove_file(file).expect("it goes");
    }
    refused(result.get(&whom, &page.name()).await, Code::Internal, "DOCUMENT_LOST");
    refused(result.artifact(&whom, &page.name(), "html").await, Code::Internal, "DOCUMENT_LOST");
    refused(result.list(&whom, page.job, 0, "").await, Code::Internal, "DOCUMENT_LOST");
    result.stop().await;
}

#[tokio::test]
async fn row_24_a_database_that_is_away_is_told_and_comes_back() {
    let postgres = store::testing::Postgres::start().expect("a database server");
    let url = postgres.fresh_url().expect("a database");
    let world = World::new(store::Config { url, ..store::Config::default() });
    let result = world.start().await;
    let whom = someone();
    let page = Page::new(&whom, JobId::new());
    assert!(result.store(&page).await.expect("it is stored"));

    postgres.stop().expect("it stops");
    let other = Page::new(&whom, page.job);
    refused(result.store(&other).await, Code::Unavailable, "RESULT_STORE_UNREACHABLE");
    refused(result.get(&whom, &page.name()).await, Code::Unavailable, "RESULT_STORE_UNREACHABLE");

    postgres.start_again().expect("it starts");
    eventually("it is back", async || result.store(&other).await.is_ok()).await;
    assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0.len(), 2);
    eventually("nothing is left over", async || world.files().len() == 2).await;
    result.stop().await;
}

#[tokio::test]
async fn row_67_an_upload_that_breaks_off_leaves_nothing() {
    let world = &worlds()[0];
    let result = world.start().await;
    let whom = someone();
    let page =
        Page { artifacts: vec![("html", "text/html", vec![1; 100])], ..Page::new(&whom, JobId::new()) };
    let header = page.parts().remove(0);
    let (send, parts) = tokio::sync::mpsc::channel(1);
    let mut client = result.crawler.clone();
    let parts = tokio_stream::wrappers::ReceiverStream::new(parts);
    let call = mesh::spawn("upload", async move { client.store_page(parts).await.map(|_| ()) });
    let request = api::result::v1::StorePageRequest { part: Some(header) };
    send.send(request).await.expect("the call is there");
    drop(call);
    eventually("the call is gone", async || send.is_closed()).await;
    assert_eq!(world.files().len(), 0);
    assert!(result.store(&page).await.expect("the next attempt is stored"));
    assert!(tokio::time::timeout(Duration::from_secs(15), result.stop()).await.is_ok());
}
