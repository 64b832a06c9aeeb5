//! Storing: once, twice, out of order, at the same time, and in ways that are refused.

use api::result::v1::{self as pb, store_page_request::Part};
use domain::JobId;
use futures::future::join_all;
use tonic::Code;

use crate::boot::{Page, chunk, eventually, refused, someone, worlds};

fn html(bytes: &[u8]) -> (&'static str, &'static str, Vec<u8>) {
    ("html", "text/html; charset=utf-8", bytes.to_vec())
}

#[tokio::test]
async fn what_was_stored_is_read_back() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let mut page = Page::new(&whom, JobId::new());
        page.artifacts = vec![html(b"<p>Hi</p>"), ("screenshot", "image/png", vec![0, 255, 7])];
        assert!(result.store(&page).await.expect("it is stored"));
        let document = result.get(&whom, &page.name()).await.expect("it is there");
        assert_eq!((document.name.clone(), document.markdown.as_str()), (page.name(), "# Hi"));
        assert_eq!(document.expire_time.map(|end| end.nanos), Some(0));
        let artifacts: Vec<_> =
            document.artifacts.iter().map(|a| (a.kind.as_str(), a.content_type.as_str(), a.size)).collect();
        assert_eq!(
            artifacts,
            [
                ("markdown", "text/markdown; charset=utf-8", 4),
                ("html", "text/html; charset=utf-8", 9),
                ("screenshot", "image/png", 3),
            ],
        );
        for (kind, content_type, bytes) in &page.artifacts {
            let pieces = result.artifact(&whom, &page.name(), kind).await.expect("it is there");
            assert_eq!(pieces.len(), 1);
            assert_eq!((pieces[0].content_type.as_str(), &pieces[0].data), (*content_type, bytes));
        }
        result.stop().await;
        let result = world.start().await;
        assert_eq!(result.get(&whom, &page.name()).await.expect("it outlives a restart"), document);
        result.stop().await;
    }
}

#[tokio::test]
async fn storing_twice_is_storing_once_and_the_latest_dispatch_stays() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let mut page = Page::new(&whom, JobId::new());
        page.seq = 2;
        page.artifacts = vec![html(b"old")];
        assert!(result.store(&page).await.expect("it is stored"));
        assert!(result.store(&page).await.expect("it was stored"), "the second delivery is a success");
        let older = Page { seq: 1, markdown: "older".into(), ..page.clone() };
        assert!(!result.store(&older).await.expect("it is dropped"));
        let read = result.get(&whom, &page.name()).await.expect("it is there");
        assert_eq!((read.title.as_str(), read.markdown.as_str()), ("dispatch 2", "# Hi"));
        eventually("the others are gone", async || world.files().len() == 2).await;

        let newer = Page { seq: 3, markdown: "newer".into(), artifacts: vec![], ..page.clone() };
        assert!(result.store(&newer).await.expect("it is stored"));
        let read = result.get(&whom, &page.name()).await.expect("it is there");
        assert_eq!((read.markdown.as_str(), read.artifacts.len()), ("newer", 1));
        refused(result.artifact(&whom, &page.name(), "html").await, Code::NotFound, "ARTIFACT_NOT_FOUND");
        assert_eq!(result.list(&whom, page.job, 0, "").await.expect("a list").0, [page.name()]);
        eventually("the old objects are gone", async || world.files().len() == 1).await;
        assert_eq!(result.get(&whom, &page.name()).await.expect("it is there").markdown, "newer");
        result.stop().await;
    }
}

#[tokio::test]
async fn fifty_stores_at_once_are_fifty_documents() {
    for world in worlds() {
        let result = world.start().await;
        let (whom, job) = (someone(), JobId::new());
        let pages: Vec<_> =
            (0..50).map(|_| Page { artifacts: vec![html(b"x")], ..Page::new(&whom, job) }).collect();
        for stored in join_all(pages.iter().map(|page| result.store(page))).await {
            assert!(stored.expect("it is stored"));
        }
        let expected: Vec<_> = pages.iter().map(Page::name).collect();
        assert_eq!(result.list(&whom, job, 100, "").await.expect("a list").0, expected);
        assert_eq!(world.files().len(), 100);
        result.stop().await;
    }
}

#[tokio::test]
async fn one_page_stored_by_many_at_once_is_one_whole_page() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        let page = Page::new(&whom, JobId::new());
        // Four dispatches, each delivered four times, and each delivery with bytes of its own.
        let attempts: Vec<_> = (0..16_i64)
            .map(|n| {
                let text = format!("{}-{n}", n % 4);
                Page {
                    seq: n % 4,
                    markdown: text.clone(),
                    artifacts: vec![html(text.as_bytes())],
                    ..page.clone()
                }
            })
            .collect();
        for (page, stored) in
            attempts.iter().zip(join_all(attempts.iter().map(|page| result.store(page))).await)
        {
            let stored = stored.expect("it is stored or dropped");
            assert!(stored || page.seq < 3, "the latest is never dropped");
        }
        let read = result.get(&whom, &page.name()).await.expect("it is there");
        assert!(read.markdown.starts_with("3-"), "{}", read.markdown);
        let html = result.artifact(&whom, &page.name(), "html").await.expect("it is there");
        assert_eq!(html[0].data, read.markdown.as_bytes(), "document and artifact are of one delivery");
        eventually("the others are gone", async || world.files().len() == 2).await;
        assert_eq!(result.get(&whom, &page.name()).await.expect("it is there"), read);
        result.stop().await;
    }
}

#[tokio::test]
async fn uploads_that_do_not_fit_together_are_refused_and_leave_nothing() {
    let world = &worlds()[0];
    let result = world.start().await;
    let whom = someone();
    let mut page = Page::new(&whom, JobId::new());
    page.artifacts = vec![html(b"abc"), ("screenshot", "image/png", vec![1])];
    let header = || Part::Header(page.header());
    let (abc, shot) = (chunk("html", b"abc"), chunk("screenshot", &[1]));
    for (name, parts) in [
        ("nothing at all", vec![]),
        ("a chunk first", vec![abc.clone(), header()]),
        ("two headers", vec![header(), header()]),
        ("too little", vec![header(), chunk("html", b"ab"), shot.clone()]),
        ("one missing", vec![header(), abc.clone()]),
        ("too much", vec![header(), chunk("html", b"abcd"), shot.clone()]),
        ("wrong order", vec![header(), shot.clone(), abc.clone()]),
        ("one more", vec![header(), abc.clone(), shot.clone(), abc.clone()]),
        ("unknown kind", vec![header(), chunk("markdown", b"abc"), shot.clone()]),
    ] {
        let answer = result.send(parts).await;
        assert!(answer.is_err(), "{name}");
        refused(answer, Code::InvalidArgument, "INVALID_UPLOAD");
    }
    // The refusal arrives although the crawler has much more to send.
    let mut long = vec![header()];
    long.extend((0..64).map(|_| chunk("html", &vec![7; 1 << 20])));
    refused(result.send(long).await, Code::InvalidArgument, "INVALID_UPLOAD");
    refused(result.get(&whom, &page.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
    assert_eq!(world.files().len(), 0);
    assert!(result.send(vec![header(), abc, shot]).await.expect("in order it is stored"));
    result.stop().await;
}

#[tokio::test]
async fn headers_that_are_wrong_are_told() {
    let world = &worlds()[0];
    let result = world.start().await;
    let page = Page::new(&someone(), JobId::new());
    type Header = pb::store_page_request::Header;
    let with = |change: &dyn Fn(&mut Header, &mut pb::Document)| {
        let mut header = page.header();
        let mut document = header.document.take().unwrap_or_default();
        change(&mut header, &mut document);
        header.document = Some(document);
        vec![Part::Header(header)]
    };
    let artifact = |kind: &str, content_type: &str, size: i64| pb::Artifact {
        kind: kind.to_owned(),
        content_type: content_type.to_owned(),
        size,
    };
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let announced = |list: Vec<pb::Artifact>| with(&move |_, document| document.artifacts = list.clone());
    let invalid = Code::InvalidArgument;
    for (parts, code, reason) in [
        (with(&|header, _| header.tenant = "tenants/x".to_owned()), invalid, "INVALID_NAME"),
        (with(&|_, document| document.name = "jobs/x".to_owned()), invalid, "INVALID_NAME"),
        (with(&|header, _| header.dispatch_sequence = -1), invalid, "NEGATIVE"),
        (with(&|header, _| header.expire_time = time(i64::MAX)), invalid, "INVALID_TIME"),
        (with(&|header, _| header.expire_time = time(-62_200_000_000)), invalid, "INVALID_TIME"),
        (with(&|_, document| document.verdict = 0), invalid, "REQUIRED"),
        (with(&|_, document| document.verdict = 99), invalid, "REQUIRED"),
        (announced(vec![artifact("gif", "a/b", 1)]), invalid, "UNKNOWN_ARTIFACT"),
        (announced(vec![artifact("html", "a/b", 0), artifact("html", "a/b", 0)]), invalid, "DUPLICATE"),
        (announced(vec![artifact("html", "a/b", -1)]), invalid, "NEGATIVE"),
        (announced(vec![artifact("html", "", 1)]), invalid, "INVALID_CONTENT_TYPE"),
        (announced(vec![artifact("html", "a/b\r\nx: y", 1)]), invalid, "INVALID_CONTENT_TYPE"),
        (
            announced(vec![artifact("html", "a/b", (32 << 20) + 1)]),
            Code::ResourceExhausted,
            "DOCUMENT_TOO_LARGE",
        ),
    ] {
        refused(result.send(parts).await, code, reason);
    }
    let mut large = page.clone();
    large.markdown = "x".repeat(16 << 20);
    refused(result.store(&large).await, Code::ResourceExhausted, "DOCUMENT_TOO_LARGE");
    large.markdown = "x".repeat(21 << 20);
    refused(result.store(&large).await, Code::ResourceExhausted, "BODY_TOO_LARGE");
    // Markdown may be announced: it is in the document, and nothing follows.
    assert!(
        result.send(announced(vec![artifact("markdown", "text/markdown", 4)])).await.expect("it is stored")
    );
    result.stop().await;
}
