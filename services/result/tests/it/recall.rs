//! Pages that crawlers find again by their cache key.

use domain::JobId;
use tonic::Code;

use crate::boot::{Page, eventually, refused, someone, worlds};

const KEY: [u8; 32] = [7; 32];

#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_under_a_key_is_found_again_by_its_tenant() {
    for world in worlds() {
        let service = world.start().await;
        let (me, other) = (someone(), someone());
        refused(service.recall(me.tenant, &KEY).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        let page = |html: &str| Page {
            artifacts: vec![("html", "text/html", html.as_bytes().to_vec())],
            cache_key: KEY.to_vec(),
            ..Page::new(&me, JobId::new())
        };
        for html in ["<p>first", "<p>second"] {
            assert!(service.store(&page(html)).await.expect("it is stored"));
            let (known, found) = service.recall(me.tenant, &KEY).await.expect("it was stored");
            assert_eq!((found.as_slice(), known.markdown.as_str()), (html.as_bytes(), ""));
            assert_eq!(known.artifacts.iter().filter(|it| it.kind == "html").count(), 1);
        }
        refused(service.recall(other.tenant, &KEY).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        refused(service.recall(me.tenant, &[8; 32]).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        refused(service.recall(me.tenant, b"short").await, Code::InvalidArgument, "INVALID_CACHE_KEY");

        // A page without HTML, and a dispatch that comes too late, are not what is found.
        let bare = Page { artifacts: vec![], cache_key: [9; 32].to_vec(), ..page("") };
        assert!(service.store(&bare).await.expect("it is stored"));
        refused(service.recall(me.tenant, &[9; 32]).await, Code::NotFound, "ARTIFACT_NOT_FOUND");
        let late = Page { seq: 5, cache_key: [6; 32].to_vec(), ..page("<p>new") };
        assert!(service.store(&late).await.expect("it is stored"));
        let early = Page { seq: 4, cache_key: [5; 32].to_vec(), ..late.clone() };
        assert!(!service.store(&early).await.expect("it is dropped"));
        refused(service.recall(me.tenant, &[5; 32]).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
        service.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_over_with_its_page() {
    for world in worlds() {
        let service = world.start().await;
        let me = someone();
        let artifacts = vec![("html", "text/html", b"<p>".to_vec())];
        let page = Page { artifacts, cache_key: KEY.to_vec(), ttl: 1, ..Page::new(&me, JobId::new()) };
        assert!(service.store(&page).await.expect("it is stored"));
        eventually("its time is over", async || {
            service.recall(me.tenant, &KEY).await.is_err_and(|status| status.code() == Code::NotFound)
        })
        .await;
        eventually("its objects are gone", async || world.files().is_empty()).await;
        service.stop().await;
    }
}
