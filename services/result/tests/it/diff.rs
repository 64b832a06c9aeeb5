//! How two pages differ: bounded, and of one's own pages only.

use api::result::v1 as pb;
use bytesize::ByteSize;
use domain::JobId;
use mesh::Principal;
use tonic::{Code, Response, Status};

use crate::boot::{Page, Running, by, refused, someone, worlds};

impl Running {
    async fn diff(&self, whom: &Principal, name: &str, base: &str) -> Result<pb::DiffPageResponse, Status> {
        let (name, base) = (name.to_owned(), base.to_owned());
        let request = by(whom, pb::DiffPageRequest { name, base, main_content: false });
        self.gateway.clone().diff_page(request).await.map(Response::into_inner)
    }
}

#[tokio::test]
async fn two_pages_of_ones_own_are_compared() {
    let mut world = worlds().remove(0);
    world.config.limits.max_diff = ByteSize::b(60);
    world.config.limits.max_diff_input = ByteSize::b(1000);
    let result = world.start().await;
    let whom = someone();
    let page = |text: &str| Page { markdown: text.to_owned(), ..Page::new(&whom, JobId::new()) };
    let (old, new) = (page("one\ntwo\n"), page("one\nthree\n"));
    let (long, huge) = (page(&"line\n".repeat(100)), page(&"x".repeat(1001)));
    for page in [&old, &new, &long, &huge] {
        result.store(page).await.expect("it is stored");
    }
    let equal = result.diff(&whom, &old.name(), &old.name()).await.expect("a diff");
    assert_eq!((equal.diff.as_str(), equal.added_lines, equal.removed_lines), ("", 0, 0));
    let cut = result.diff(&whom, &long.name(), &old.name()).await.expect("a diff");
    assert!(cut.truncated && cut.diff.len() <= 60, "{cut:?}");
    assert_eq!((cut.added_lines, cut.removed_lines), (100, 2));
    refused(result.diff(&whom, &huge.name(), &old.name()).await, Code::ResourceExhausted, "DIFF_TOO_LARGE");
    refused(result.diff(&someone(), &new.name(), &old.name()).await, Code::NotFound, "DOCUMENT_NOT_FOUND");
    refused(result.diff(&whom, &new.name(), "").await, Code::InvalidArgument, "INVALID_NAME");
    result.stop().await;
}
