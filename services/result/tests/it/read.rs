//! Reading: page by page, piece by piece, and one's own only.

use api::result::v1 as pb;
use domain::{JobId, PageId, id::page_name};
use mesh::Principal;
use tonic::Code;

use crate::boot::{Page, by, refused, someone, worlds};

#[tokio::test]
async fn documents_are_listed_in_order_page_by_page() {
    for world in worlds() {
        let result = world.start().await;
        let (whom, job) = (someone(), JobId::new());
        let pages: Vec<_> = (0..7).map(|_| Page::new(&whom, job)).collect();
        for page in pages.iter().rev() {
            result.store(page).await.expect("it is stored");
        }
        result.store(&Page::new(&whom, JobId::new())).await.expect("a page of another job");
        let expected: Vec<_> = pages.iter().map(Page::name).collect();
        let (mut names, mut token) = result.list(&whom, job, 3, "").await.expect("a list");
        assert_eq!(names.len(), 3);
        while !token.is_empty() {
            let (more, next) = result.list(&whom, job, 3, &token).await.expect("a list");
            assert!(!more.is_empty() && more.len() <= 3);
            names.extend(more);
            token = next;
        }
        assert_eq!(names, expected);
        assert_eq!(result.list(&whom, job, 7, "").await.expect("a list"), (expected.clone(), String::new()));
        assert_eq!(result.list(&whom, job, i32::MAX, "").await.expect("a list").0, expected);
        assert_eq!(result.list(&whom, JobId::new(), 0, "").await.expect("a list"), (vec![], String::new()));

        refused(result.list(&whom, job, -1, "").await, Code::InvalidArgument, "NEGATIVE_PAGE_SIZE");
        let (_, token) = result.list(&whom, job, 3, "").await.expect("a list");
        let of_another = result.list(&whom, JobId::new(), 3, &token).await;
        refused(of_another, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        let of_another = result.list(&someone(), job, 3, &token).await;
        refused(of_another, Code::InvalidArgument, "INVALID_PAGE_TOKEN");
        result.stop().await;
    }
}

#[tokio::test]
async fn a_list_of_large_documents_ends_early_and_goes_on() {
    let world = &worlds()[0];
    let result = world.start().await;
    let (whom, job) = (someone(), JobId::new());
    for size in [3 << 20, 3 << 20, 9 << 20, 1] {
        let page = Page { markdown: "x".repeat(size), ..Page::new(&whom, job) };
        result.store(&page).await.expect("it is stored");
    }
    let (mut counts, mut token) = (vec![], String::new());
    loop {
        let (names, next) = result.list(&whom, job, 0, &token).await.expect("a list");
        counts.push(names.len());
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(counts, [1, 1, 1, 1]);
    result.stop().await;
}

#[tokio::test]
async fn large_artifacts_come_in_pieces() {
    for world in worlds() {
        let result = world.start().await;
        let whom = someone();
        // Not a multiple of any chunk, and it does not compress to nothing.
        let bytes: Vec<u8> =
            (0..5_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let page = Page {
            markdown: "é".repeat(300_000),
            artifacts: vec![("html", "text/html", bytes.clone()), ("screenshot", "image/png", bytes.clone())],
            ..Page::new(&whom, JobId::new())
        };
        result.store(&page).await.expect("it is stored");
        for (kind, expected) in
            [("html", &bytes[..]), ("screenshot", &bytes), ("markdown", page.markdown.as_bytes())]
        {
            let pieces = result.artifact(&whom, &page.name(), kind).await.expect("it is there");
            assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.data.len() <= 256 << 10), "{kind}");
            let whole: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.data).collect();
            assert!(whole == expected, "{kind} has {} bytes of {}", whole.len(), expected.len());
        }
        result.stop().await;
    }
}

#[tokio::test]
async fn an_empty_artifact_has_a_content_type() {
    let world = &worlds()[0];
    let result = world.start().await;
    let whom = someone();
    let page = Page {
        markdown: String::new(),
        artifacts: vec![("html", "text/html", vec![]), ("screenshot", "image/png", vec![])],
        ..Page::new(&whom, JobId::new())
    };
    result.store(&page).await.expect("it is stored");
    for (kind, content_type) in
        [("html", "text/html"), ("screenshot", "image/png"), ("markdown", "text/markdown; charset=utf-8")]
    {
        let pieces = result.artifact(&whom, &page.name(), kind).await.expect("it is there");
        assert_eq!(
            (pieces.len(), pieces[0].content_type.as_str(), pieces[0].data.len()),
            (1, content_type, 0)
        );
    }
    result.stop().await;
}

#[tokio::test]
async fn another_tenants_page_looks_like_none() {
    for world in worlds() {
        let result = world.start().await;
        let (whom, stranger) = (someone(), someone());
        let page = Page { artifacts: vec![("html", "text/html", vec![1])], ..Page::new(&whom, JobId::new()) };
        result.store(&page).await.expect("it is stored");
        let unknown = page_name(page.job, PageId::new());
        for (who, name) in [(&stranger, &page.name()), (&whom, &unknown)] {
            refused(result.get(who, name).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
            for kind in ["html", "markdown", "screenshot", "pdf"] {
                refused(result.artifact(who, name, kind).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
            }
        }
        assert_eq!(result.list(&stranger, page.job, 0, "").await.expect("a list").0, Vec::<String>::new());
        for kind in ["screenshot", "pdf", ""] {
            refused(result.artifact(&whom, &page.name(), kind).await, Code::NotFound, "ARTIFACT_NOT_FOUND");
        }
        // The same ids under another tenant are another page: nobody can overwrite a stranger's.
        let forged = Page { tenant: stranger.tenant, seq: 9, markdown: "forged".into(), ..page.clone() };
        result.store(&forged).await.expect("it is stored");
        assert_eq!(result.get(&whom, &page.name()).await.expect("it is there").markdown, "# Hi");
        result.stop().await;
    }
}

#[tokio::test]
async fn only_those_who_may_are_answered() {
    let world = &worlds()[0];
    let result = world.start().await;
    let whom = Principal { scopes: vec![], ..someone() };
    let name = page_name(JobId::new(), PageId::new());
    refused(result.get(&whom, &name).await, Code::PermissionDenied, "MISSING_PERMISSION");
    refused(result.list(&whom, JobId::new(), 0, "").await, Code::PermissionDenied, "MISSING_PERMISSION");
    refused(result.artifact(&whom, &name, "html").await, Code::PermissionDenied, "MISSING_PERMISSION");
    let request = pb::GetDocumentRequest { name: name.clone() };
    let anonymous = result.gateway.clone().get_document(request.clone()).await;
    refused(anonymous, Code::Unauthenticated, "MISSING_CREDENTIALS");
    let crawler = result.crawler.clone().get_document(by(&someone(), request)).await;
    refused(crawler, Code::PermissionDenied, "SERVICE_NOT_ALLOWED");
    for name in ["", "jobs/x/pages/y", "pages/x", &name[..name.len() - 1]] {
        refused(result.get(&someone(), name).await, Code::InvalidArgument, "INVALID_NAME");
        refused(result.artifact(&someone(), name, "html").await, Code::InvalidArgument, "INVALID_NAME");
    }
    result.stop().await;
}
